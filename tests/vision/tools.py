"""Data sets as a run gets them, by name from the registry, and looking at them whole."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from mmft_core import DatasetSpec, Registry, discover
from mmft_core.config.options import convert
from mmft_core.contracts import Dataset, DatasetContext, Split
from mmft_core.errors import SampleError


def open_dataset(name: str, *, training: bool = True, seed: int = 0, **options: Any) -> Dataset:
    """Build a data set: `open_dataset("image-folder", path=...)`."""
    component = _registry().get(DatasetSpec, name)
    texts = {k: str(v) if isinstance(v, Path) else v for k, v in options.items()}
    typed = convert(texts, component.options_type(), "dataset")
    dataset = component.build(typed, DatasetContext(seed=seed, training=training))
    assert isinstance(dataset, Dataset)
    return dataset


@cache
def _registry() -> Registry:
    return discover()


def sizes(dataset: Dataset) -> dict[str, int]:
    return {name: len(split) for name, split in dataset.splits.items()}


def ids(split: Split) -> list[str]:
    return [split.sample_id(i) for i in range(len(split))]


def targets(split: Split) -> list[str]:
    return [split.target(i) for i in range(len(split))]


def faults(dataset: Dataset) -> dict[str, str]:
    """What the check says of each unsound sample, by id."""
    found = {}
    for split in dataset.splits.values():
        for i in range(len(split)):
            try:
                split.check(i)
            except SampleError as error:
                found[error.sample_id] = error.reason
    return found
