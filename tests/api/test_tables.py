"""Data in memory: whatever a program holds is read as the file would be that it stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

import mmft
from mmft.tables import place_of
from mmft_core.config.given import settings_of
from mmft_core.config.resolving import make_plan
from mmft_core.contracts import Dataset
from mmft_core.run.build import build_dataset

TEXTS = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
LABELS = ["odd", "even"] * 4


def opened(data: Any, task: str = "text-cls", backbone: str = "bert-base") -> Dataset:
    """The data set that a run would learn from."""
    given = {"task": task, "backbone": (backbone,), "dataset": place_of(data)}
    registry = mmft.plugins()
    return build_dataset(make_plan(settings_of(given, {}, registry, print), registry))


def cells(data: Dataset, modality: str = "text") -> dict[Any, str]:
    return {
        sample.inputs[modality]: sample.target
        for split in data.splits.values()
        for sample in (split[index] for index in range(len(split)))
    }


@pytest.mark.parametrize("kind", ["records", "frame", "categories", "hub"])
def test_every_form_holds_the_same_samples(kind: str, cache: Path) -> None:
    columns = {"text": TEXTS, "label": LABELS}
    frame = pd.DataFrame(columns)
    data: Any = {
        "records": [
            dict(zip(columns, row, strict=True)) for row in zip(TEXTS, LABELS, strict=True)
        ],
        "frame": frame,
        "categories": frame.astype({"label": "category"}),
        "hub": datasets.Dataset.from_dict(columns).cast_column(
            "label", datasets.ClassLabel(names=["odd", "even"])
        ),
    }[kind]
    assert cells(opened(data)) == dict(zip(TEXTS, LABELS, strict=True))


@pytest.mark.parametrize("kind", ["records", "hub"])
def test_parts_are_the_splits(kind: str, cache: Path) -> None:
    rows = [{"text": t, "label": n} for t, n in zip(TEXTS, LABELS, strict=True)]
    parts: Any = {"train": rows[:4], "validation": rows[4:6], "test": rows[6:]}
    if kind == "hub":
        parts = datasets.DatasetDict(
            {name: datasets.Dataset.from_list(part) for name, part in parts.items()}
        )
    found = opened(parts)
    assert {name: len(split) for name, split in found.splits.items()} == {
        "train": 4,
        "val": 2,
        "test": 2,
    }


def test_the_same_data_are_the_same_file(cache: Path) -> None:
    rows = [{"text": t, "label": n} for t, n in zip(TEXTS, LABELS, strict=True)]
    assert place_of(rows) == place_of([dict(row) for row in rows])
    assert place_of(rows) != place_of(rows[1:])


def test_keys_that_the_first_row_lacks_are_columns(cache: Path) -> None:
    rows: list[dict[str, Any]] = [{"text": t} for t in TEXTS]
    for row, label in zip(rows[1:], LABELS[1:], strict=True):
        row["label"] = label
    rows[0]["label"] = "odd"
    assert cells(opened([*reversed(rows)])) == dict(zip(TEXTS, LABELS, strict=True))


def test_pictures_keep_their_pixels(cache: Path) -> None:
    random = np.random.default_rng(0)
    pixels = [random.integers(0, 256, (9, 7, 3), dtype=np.uint8) for _ in range(8)]
    rows = [
        {"picture": Image.fromarray(p), "label": n} for p, n in zip(pixels, LABELS, strict=True)
    ]
    for data in (rows, pd.DataFrame(rows), datasets.Dataset.from_list(rows)):
        found = opened(data, "image-cls", "resnet18")
        read = [
            split.input(i, "image") for split in found.splits.values() for i in range(len(split))
        ]
        assert {np.asarray(picture).tobytes() for picture in read} == {p.tobytes() for p in pixels}


def test_recordings_keep_their_samples(cache: Path) -> None:
    waves = [np.arange(-800, 800, dtype=np.int16) * (k + 1) for k in range(8)]
    rows = [
        {"audio": {"array": wave, "sampling_rate": 16000}, "label": label}
        for wave, label in zip(waves, LABELS, strict=True)
    ]
    found = opened(rows, "audio-cls", "ast-base")
    read = [
        soundfile.read(split.input(index, "audio").path.open(), dtype="int16")[0]
        for split in found.splits.values()
        for index in range(len(split))
    ]
    assert {wave.tobytes() for wave in read} == {wave.tobytes() for wave in waves}


def test_relative_paths_are_those_of_the_program(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        Image.new("RGB", (5, 5), (number * 30, 0, 0)).save(tmp_path / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"file": [f"{n}.png" for n in range(8)], "label": LABELS})
    found = opened(frame, "image-cls", "resnet18")
    monkeypatch.chdir("/")
    assert sum(len(split) for split in found.splits.values()) == 8
    for split in found.splits.values():
        split.check(0)


@pytest.mark.parametrize(
    "data, words",
    [
        ({"text": TEXTS}, "part named 'text', which is not the name of a split"),
        (pd.DataFrame({0: TEXTS}), "column 0 has a name that is not a string"),
        ([{"text": 1}, {"text": "two"}], "Column 'text' cannot be written to a table"),
        ([{"text": object()}], "Column 'text' cannot be written to a table"),
        ([{"text": "one"}, {"text": 2}], "row 0 holds str and row 1 holds int"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "several columns named 'a'"),
        ([{"text": "one"}, 2], "Item 1 of the data is of type int"),
        (3, "Data of type int were given"),
        ([], "The data have no rows"),
        (pd.DataFrame({"text": []}), "The data have no rows"),
        ({}, "The data have no rows"),
    ],
)
def test_what_cannot_be_a_table_is_refused(data: Any, words: str, cache: Path) -> None:
    with pytest.raises(mmft.DataError, match=words):
        place_of(data)
