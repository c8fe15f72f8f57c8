"""Recordings for the benchmarks of speech: some of the built-in ones, as a table of files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import soundfile
import torch
from torchaudio.functional import resample

from mmft_core import DatasetSpec
from mmft_core.contracts import DatasetContext
from mmft_core.discovery import discover

NETWORKS_RATE, HIGH_RATE = 16_000, 44_100


def write_recordings(folder: Path, count: int, form: str = "") -> Path:
    """Write recordings into a folder, with a table of their transcripts; return the table.

    Args:
        form: "flac" or "mp3" for stereo files of 44.1 kHz; else they are copied as they are.
    """
    component = discover().get(DatasetSpec, "audio/spoken-commands")
    data = component.build(component.options_type()(), DatasetContext(target="text"))
    train, own = data.splits["train"], folder / "recordings"
    own.mkdir()
    table = own / "table.jsonl"
    with table.open("w", encoding="utf-8") as file:
        for number in range(count):
            sample = train[number * len(train) // count]
            path = sample.inputs["audio"].path
            name = f"{number:05}.{form}" if form else f"{number:05}{path.suffix}"
            if form:
                wave = read_wave(path, HIGH_RATE)
                soundfile.write(own / name, wave[:, None].repeat(2, 1), HIGH_RATE)
            else:
                shutil.copyfile(path, own / name)
            file.write(json.dumps({"audio": name, "text": sample.target}) + "\n")
    return table


def read_wave(path: Path, rate: int) -> Any:
    """Decode a recording as the usual scripts do: (T,), the mean of its channels, resampled."""
    samples, own = read_samples(path)
    return resample(torch.from_numpy(samples), own, rate).numpy()


def read_samples(path: Path) -> tuple[Any, int]:
    """The mean of a recording's channels, (T,), and how many samples are a second."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return samples.mean(1), rate


def read_table(table: Path) -> list[tuple[Path, str]]:
    """The recordings of a table and their transcripts."""
    rows = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]
    return [(table.parent / row["audio"], row["text"]) for row in rows]


def seconds_of(files: list[Path]) -> float:
    return float(sum(soundfile.info(str(file)).duration for file in files))
