"""The bundled chats with recordings: questions about numbers that synthetic voices say.

As preferences, the number that is said is preferred to another one.
"""

from __future__ import annotations

import importlib.metadata
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmft_chat.conversations import Conversation, Message, Part
from mmft_chat.options import ChatRecordingsOptions
from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo, Origin, Sample, Split
from mmft_core.data import Subset

_QUESTIONS = (
    "Which number is said?",
    "What do you hear?",
    "Write down the number.",
    "Which digit is this?",
    "Tell me the number in the recording.",
)
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TAKES = 2
"""How often each voice says each number, at other paces and pitches."""


def build(options: ChatRecordingsOptions, context: DatasetContext) -> Dataset:
    """Let the numbers be said, or find what was said before.

    Raises:
        MissingExtraError: espeakng-loader is not installed.
        StorageError: it cannot be written.
    """
    from mmft_audio.espeak import ENGLISH

    voices = list(ENGLISH)
    random.Random(0).shuffle(voices)
    rows = SpokenNumbers(_folder(voices), voices, target=context.target)
    order = np.random.default_rng(context.seed).permutation(len(voices))
    splits: dict[str, Split] = {}
    for name, share in (("test", options.test), ("val", options.val), ("train", 1.0)):
        count = len(order) if name == "train" else round(share * len(voices))
        own, order = order[:count], order[count:]
        found = np.flatnonzero(np.isin(rows.voice, own))
        if name == "train":
            found = found[
                np.linspace(0, len(found) - 1, min(options.samples, len(found))).astype(int)
            ]
        splits[name] = Subset(rows, found)
    version = importlib.metadata.version("espeakng-loader")
    info = DatasetInfo(
        name="chat-recordings",
        source=f"synthetic speech by espeak-ng {version}",
        licence="made by this program",
        synthetic=True,
        notes=("no voice of val or test is in another split",),
    )
    return Dataset(
        info=info, splits={n: splits[n] for n in ("train", "val", "test") if len(splits[n])}
    )


def _folder(voices: Sequence[str]) -> Path:
    """The folder of the recordings, made if it is not there."""
    from mmft_audio.espeak import Voice
    from mmft_audio.speaking import Spoken, spoken_folder

    draw = random.Random(1)
    spoken = [
        Spoken(
            _file(voice, word, take),
            word,
            Voice(voice, draw.randint(130, 190), draw.randint(30, 70)),
        )
        for voice in voices
        for word in _WORDS
        for take in range(_TAKES)
    ]
    return spoken_folder("spoken-numbers", spoken)


def _file(voice: str, word: str, take: int) -> str:
    return f"{voice}/{word}-{take + 1}.flac"


class SpokenNumbers(Split):
    """A recording of about a second, a question, and the number as a word.

    Attributes:
        voice: of each row, its index.
    """

    def __init__(self, folder: Path, voices: Sequence[str], *, target: str) -> None:
        self.folder, self.voices, self.wanted = folder, voices, target

    @property
    def voice(self) -> np.ndarray:
        return np.arange(len(self)) // (len(_WORDS) * _TAKES)

    def __len__(self) -> int:
        return len(self.voices) * len(_WORDS) * _TAKES

    def __getitem__(self, index: int) -> Sample:
        word, path = self._at(index)
        # Every voice begins with another question, so that none of these goes with a number.
        question = _QUESTIONS[(index + int(self.voice[index])) % len(_QUESTIONS)]
        asked = Message("user", (Part("audio", media=path), Part("text", question)))
        # Voices take turns with all numbers, so each of the others is as often the wrong one.
        other = _WORDS[(_WORDS.index(word) + 1 + (index + self.voice[index]) % 9) % 10]
        one, two = ((asked, Message("assistant", (Part("text", w),))) for w in (word, other))
        if self.wanted == "preference":
            target: Any = {"chosen": word, "rejected": other}
            return Sample({"chat": Conversation(one, (), two)}, target, self.sample_id(index))
        target = word if self.wanted == "text" else None
        return Sample({"chat": Conversation(one)}, target, self.sample_id(index))

    def sample_id(self, index: int) -> str:
        return self._at(index)[1].relative_to(self.folder).as_posix()

    def origin(self, index: int) -> Origin:
        word, path = self._at(index)
        return Origin([self.sample_id(index), word], (path,))

    def groups(self) -> Sequence[str]:
        return [self.voices[k] for k in self.voice]

    def _at(self, index: int) -> tuple[str, Path]:
        rest, take = divmod(index, _TAKES)
        voice, word = divmod(rest, len(_WORDS))
        return _WORDS[word], self.folder / _file(self.voices[voice], _WORDS[word], take)
