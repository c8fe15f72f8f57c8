"""The same rows in every format, for every data set that is a table."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from mmft_core import DatasetSpec, Registry, discover
from mmft_core.config.options import convert
from mmft_core.contracts import Dataset, DatasetContext
from mmft_core.data.splits import together
from mmft_core.errors import SampleError
from mmft_core.specs import ANY_MODALITIES
from tests.audio.tools import write as write_recording

FORMATS = (
    "csv", "tsv", "csv.gz", "tsv.gz", "jsonl", "jsonl.gz", "json", "json.gz", "parquet", "xlsx",
)  # fmt: skip
COUNT = 24


@cache
def registry() -> Registry:
    return discover()


def readers() -> list[str]:
    """The data sets that find classes in a CSV: each new one goes through all of these tests."""
    components = (registry().get(DatasetSpec, c.qualified) for c in registry().of(DatasetSpec))
    own = (c.spec for c in components if ".csv" in c.spec.opens)
    return sorted(spec.name for spec in own if "class" in spec.targets)


def inputs(reader: str, folder: Path, count: int = COUNT) -> dict[str, list[Any]]:
    """Columns of inputs that a reader takes, with their files."""
    modalities = registry().get(DatasetSpec, reader).spec.modalities
    if modalities == ANY_MODALITIES:
        return {"remark": _texts(count), "size": [k / 4 for k in range(count)]}
    (modality,) = modalities
    if modality == "text":
        return {"text": _texts(count)}
    (folder / "files").mkdir(parents=True, exist_ok=True)
    if modality == "image":
        names = [f"files/{k}.png" for k in range(count)]
        for k, name in enumerate(names):
            Image.new("L", (8, 8), 10 * k).save(folder / name)
    else:
        names = [f"files/{k}.wav" for k in range(count)]
        for name in names:
            write_recording(folder / name, seconds=0.1)
    return {modality: names}


def _texts(count: int) -> list[str]:
    words = ("a plain one", 'with "quotes", and commas', "two\nlines; of\ttext", "größer, naïve")
    return [f"Text number {k} is {words[k % 4]}" for k in range(count)]


def write(path: Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    """Write columns as pandas writes them, in the format of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(dict(columns))
    form = path.name.partition(".")[2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        match form.removesuffix(".gz"):
            case "csv":
                frame.to_csv(path, index=False)
            case "tsv":
                frame.to_csv(path, sep="\t", index=False)
            case "jsonl":
                frame.to_json(path, orient="records", lines=True, date_format="iso")
            case "json":
                frame.to_json(path, orient="records", date_format="iso")
            case "parquet":
                frame.to_parquet(path)
            case "xlsx":
                frame.to_excel(path, index=False)
    return path


def compress(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content))
    return path


@dataclass(frozen=True)
class Contents:
    """All that a data set says of its rows, in the order of the table."""

    classes: tuple[str, ...]
    ids: list[str]
    targets: list[Any]
    inputs: list[Any] = field(repr=False)
    splits: Mapping[str, list[str]]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def build(reader: str, path: Path, *, training: bool = True, **options: Any) -> Dataset:
    component = registry().get(DatasetSpec, reader)
    typed = convert(
        {"path": str(path), "val": 0.0, "test": 0.0, **options},
        component.options_type(),
        "dataset",
    )
    dataset = component.build(typed, DatasetContext(partial=True, training=training))
    assert isinstance(dataset, Dataset)
    return dataset


def contents(reader: str, path: Path, **options: Any) -> Contents:
    """Read a table by a reader. The reason stands in place of the target of a bad row."""
    dataset = build(reader, path, **options)
    whole = together(dataset.splits.values())
    targets, raw = [], []
    for index in range(len(whole)):
        try:
            targets.append(whole.target(index))
        except SampleError as error:
            targets.append(error.reason)
        for modality in registry().get(DatasetSpec, reader).spec.inspectors:
            raw.append(_comparable(whole, index, modality))
    return Contents(
        dataset.info.classes,
        [whole.sample_id(index).partition(" (")[0] for index in range(len(whole))],
        targets,
        raw,
        {
            name: [split.sample_id(k).partition(" (")[0] for k in range(len(split))]
            for name, split in dataset.splits.items()
        },
        dataset.info.notes,
        dataset.info.warnings,
    )


def _comparable(split: Any, index: int, modality: str) -> Any:
    try:
        found = split.input(index, modality)
    except SampleError as error:
        return error.reason
    if isinstance(found, Image.Image):
        return found.tobytes()
    return found if isinstance(found, str | dict | None) else str(found.path)
