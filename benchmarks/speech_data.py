"""Recordings for the benchmarks of speech: some of the built-in ones, as a table of files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import soundfile

from mmft_core.contracts import DatasetContext
from mmft_core.discovery import discover


def write_recordings(folder: Path, count: int) -> Path:
    """Copy recordings into a folder, with a table of their transcripts; return the table."""
    component = discover().dataset("audio/spoken-commands")
    data = component.build(component.options_type()(), DatasetContext(target="text"))
    train, own = data.splits["train"], folder / "recordings"
    own.mkdir()
    table = own / "table.jsonl"
    with table.open("w", encoding="utf-8") as file:
        for number in range(count):
            sample = train[number * len(train) // count]
            path = sample.inputs["audio"].path
            name = f"{number:05}{path.suffix}"
            shutil.copyfile(path, own / name)
            file.write(json.dumps({"audio": name, "text": sample.target}) + "\n")
    return table


def read_table(table: Path) -> list[tuple[Path, str]]:
    """The recordings of a table and their transcripts."""
    rows = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]
    return [(table.parent / row["audio"], row["text"]) for row in rows]


def seconds_of(files: list[Path]) -> float:
    return float(sum(soundfile.info(str(file)).duration for file in files))
