"""The embedded speech: numbers and commands by synthetic voices, kept in the user's cache.

Made once, as a table of FLAC files that anybody can listen to, and read as any other such table.
No voice and no phrase of val or test is in another split.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.metadata
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mmft_audio import audio_table
from mmft_audio.dataset_options import AudioTableOptions, SpokenCommandsOptions
from mmft_audio.espeak import ENGLISH, Voice
from mmft_audio.phrases import PHRASES
from mmft_audio.speaking import Spoken, spoken_folder
from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo
from mmft_core.data import Subset

SIZES = {"train": 3000, "val": 300, "test": 400}

_HELD_OUT = {"val": 8, "test": 12}
"""Voices of the splits that are not learned from."""

_TABLE = "spoken-commands.csv"


@dataclass(frozen=True)
class Utterance:
    """A row of the table, with how it is spoken."""

    audio: str
    text: str
    label: str
    split: str
    voice: str
    rate: int
    pitch: int


def build(options: SpokenCommandsOptions, context: DatasetContext) -> Dataset:
    """Speak the commands, or find those that were spoken before.

    Raises:
        MissingExtraError: espeakng-loader is not installed.
        StorageError: they cannot be written.
    """
    table = AudioTableOptions(path=str(_folder() / _TABLE), group_column="voice")
    dataset = audio_table.build(table, context)
    splits = dict(dataset.splits)
    most, train = options.samples, splits["train"]
    if most is not None and most < len(train):
        splits["train"] = Subset(train, np.linspace(0, len(train) - 1, most).astype(np.int64))
    return Dataset(
        info=DatasetInfo(
            name="spoken-commands",
            classes=dataset.info.classes,
            source=f"synthetic speech by espeak-ng {importlib.metadata.version('espeakng-loader')}",
            licence="made by this program",
            synthetic=True,
            notes=("no voice and no phrase of val or test is in another split",),
        ),
        splits=splits,
    )


def corpus() -> Iterator[Utterance]:
    """All utterances, the same whenever it is called."""
    draw = random.Random(0)
    voices = list(ENGLISH)
    draw.shuffle(voices)
    val, test = _HELD_OUT["val"], _HELD_OUT["val"] + _HELD_OUT["test"]
    own = {"val": voices[:val], "test": voices[val:test], "train": voices[test:]}
    number = 0
    for split, size in SIZES.items():
        for k in range(size):
            label = list(PHRASES)[k % len(PHRASES)]
            yield Utterance(
                audio=f"{split}/{number:05}.flac",
                text=_phrase(label, split, draw),
                label=label,
                split=split,
                voice=draw.choice(own[split]),
                rate=draw.randint(130, 190),
                pitch=draw.randint(30, 70),
            )
            number += 1


def _phrase(label: str, split: str, draw: random.Random) -> str:
    """Draw a phrase that belongs to a split, as its digest tells."""
    while True:
        text = PHRASES[label](draw)
        part = hashlib.sha256(text.encode()).digest()[0] % 8
        if split == {0: "test", 1: "val"}.get(part, "train"):
            return text


def _folder() -> Path:
    """The folder of the speech, made if it is not there."""
    utterances = list(corpus())
    spoken = [Spoken(u.audio, u.text, Voice(u.voice, u.rate, u.pitch)) for u in utterances]
    return spoken_folder("spoken-commands", spoken, partial(_write_table, utterances))


def _write_table(utterances: Sequence[Utterance], folder: Path) -> None:
    with (folder / _TABLE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(asdict(utterances[0])))
        writer.writeheader()
        writer.writerows(asdict(utterance) for utterance in utterances)
