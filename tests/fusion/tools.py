"""Tables of real digits in several modalities, and the data set as a run gets it."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from mmft_core import DatasetSpec, Registry, discover
from mmft_core.config.options import convert
from mmft_core.contracts import Dataset, DatasetContext

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

Row = dict[str, Any]


def write_table(
    folder: Path,
    count: int = 60,
    lacking: float = 0.0,
    change: Callable[[int, Row], None] = lambda row, cells: None,
    columns: Sequence[str] = ("id", "photo", "remark", "ink", "shape", "split", "label"),
) -> Path:
    """Write `table.csv` and pictures of the digits 0 and 1.

    Args:
        lacking: share of the cells of each input that are empty.
        change: is given each row's number, from 1, and its cells, to change these.
    """
    bunch, draw = load_digits(n_class=2), random.Random(0)
    (folder / "photos").mkdir(parents=True)
    rows = []
    for k in range(count):
        label, picture = int(bunch.target[k]), bunch.images[k]
        name = f"photos/{k:03}.png"
        Image.fromarray((picture * 15).astype(np.uint8)).save(folder / name)
        cells: Row = {
            "id": k,
            "photo": name,
            "remark": f"This looks like a {WORDS[label]} to me, number {k}.",
            "ink": f"{picture.sum():.1f}",
            "shape": "round" if label == 0 else "straight",
            "split": ("train", "train", "train", "val", "test")[k % 5],
            "label": WORDS[label],
        }
        for column in ("photo", "remark", "ink", "shape"):
            if draw.random() < lacking:
                cells[column] = ""
        change(k + 1, cells)
        rows.append({name: cells[name] for name in columns})
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(columns))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "table.csv"


def open_mixed(path: Path, context: DatasetContext | None = None, **options: Any) -> Dataset:
    """Build the data set `mixed-table`."""
    component = registry().get(DatasetSpec, "mixed-table")
    typed = convert({"path": str(path), **options}, component.options_type(), "dataset")
    dataset = component.build(typed, context or DatasetContext(partial=True))
    assert isinstance(dataset, Dataset)
    return dataset


def kinds(dataset: Dataset) -> Mapping[str, str]:
    """What the columns that are read were taken for."""
    found: Mapping[str, str] = dataset.options.columns
    return found


@cache
def registry() -> Registry:
    return discover()
