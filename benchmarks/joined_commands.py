"""Tables for measuring long recordings with a network that has learned from single commands.

    pip install -e '.[bench,speech]'
    python benchmarks/joined_commands.py FOLDER

FOLDER/single.csv names some of the built-in spoken commands, FOLDER/joined.csv recordings of a
minute, each of twenty test commands with pauses between them:

    mmft run --task asr --backbone whisper-tiny.en --weights WEIGHTS --dataset FOLDER/single.csv
        --set backbone.padding=batch --epochs 1 --batch-size 8 -o RUN
    mmft eval RUN --dataset FOLDER/joined.csv --split test --set task.piece_seconds=4
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from mmft_core import DatasetSpec
from mmft_core.contracts import DatasetContext, Split
from mmft_core.discovery import discover

RECORDINGS, COMMANDS = 6, 20
PAUSE = (0.4, 1.0)
"""Seconds between two commands, drawn evenly."""

Row = tuple[Path, str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=400)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    component = discover().get(DatasetSpec, "audio/spoken-commands")
    data = component.build(component.options_type()(), DatasetContext(target="text"))
    sizes = {"train": given.train, "val": 20, "test": 40}
    single = [
        row for name, count in sizes.items() for row in spread(data.splits[name], name, count)
    ]
    write_table(given.folder / "single.csv", single)
    write_table(given.folder / "joined.csv", joined(data.splits["test"], given.folder))


def spread(split: Split, name: str, count: int) -> list[Row]:
    """So many samples, evenly spread."""
    chosen = [split[i] for i in np.linspace(0, len(split) - 1, count).astype(int).tolist()]
    return [(sample.inputs["audio"].path, sample.target, name) for sample in chosen]


def joined(split: Split, folder: Path) -> list[Row]:
    """Write the long recordings."""
    random, rows = np.random.default_rng(0), []
    order = random.permutation(len(split))
    for number in range(RECORDINGS):
        samples = [split[int(i)] for i in order[COMMANDS * number : COMMANDS * (number + 1)]]
        parts = []
        for sample in samples:
            wave, rate = soundfile.read(sample.inputs["audio"].path, dtype="float32")
            parts += [wave, np.zeros(int(rate * random.uniform(*PAUSE)), np.float32)]
        file = (folder / f"joined-{number}.flac").absolute()
        soundfile.write(file, np.concatenate(parts), rate)
        rows.append((file, " ".join(sample.target for sample in samples), "test"))
    return rows


def write_table(file: Path, rows: Sequence[Row]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("audio", "text", "split"), *rows])


if __name__ == "__main__":
    main()
