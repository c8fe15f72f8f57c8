"""Pictures, recordings and texts as bytes, and the data sets that read them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from mmft_core import DatasetSpec, Registry, discover
from mmft_core.config.options import convert, option_names
from mmft_core.contracts import Dataset, DatasetContext


def picture(number: int, form: str = "PNG", side: int = 24) -> bytes:
    """A picture of noise, dark or light."""
    random = np.random.default_rng(number)
    pixels = random.normal(60 + 130 * (number % 2), 15, (side, side, 3)).clip(0, 255)
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, form)
    return buffer.getvalue()


def recording(number: int, form: str = "WAV", seconds: float = 0.3) -> bytes:
    """A tone, low or high, in noise."""
    time = np.arange(int(16_000 * seconds)) / 16_000
    noise = np.random.default_rng(number).normal(0, 0.01, len(time))
    samples = 0.3 * np.sin(2 * np.pi * (300 + 500 * (number % 2)) * time) + noise
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 16_000, format=form)
    return buffer.getvalue()


def text(number: int) -> bytes:
    return f"A remark that is {('bad', 'good')[number % 2]}, number {number}.\n".encode()


@dataclass(frozen=True)
class Medium:
    """What is read, and by which data sets.

    Attributes:
        modality: its name.
        noun: what messages call several.
        make: content of a file, by its number.
        suffix: of such a file.
        folder, table: names of data sets; `table` is "" where a table holds no such files.
    """

    modality: str
    noun: str
    make: Callable[[int], bytes]
    suffix: str
    folder: str
    table: str = ""


MEDIA: Mapping[str, Medium] = {
    "image": Medium("image", "pictures", picture, ".png", "image-folder", "image-table"),
    "audio": Medium("audio", "recordings", recording, ".wav", "audio-folder", "audio-table"),
    "text": Medium("text", "text files", text, ".txt", "text-folder"),
}


def write(folder: Path, medium: Medium, count: int = 4, first: int = 0) -> Path:
    """Write files, numbered from `first`."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        (folder / f"{number:02}{medium.suffix}").write_bytes(medium.make(number))
    return folder


def build(
    name: str, path: Path | str, target: str = "class", *, training: bool = True, **options: Any
) -> Dataset:
    """Build a data set; one that is published has a `root`."""
    component = _registry().get(DatasetSpec, name)
    place = "root" if "root" in option_names(component.options_type()) else "path"
    typed = convert({place: str(path)} | options, component.options_type(), "dataset")
    context = DatasetContext(target=target, training=training, partial=True)
    dataset = component.build(typed, context)
    assert isinstance(dataset, Dataset)
    return dataset


@cache
def _registry() -> Registry:
    return discover()


def passed_over(dataset: Dataset) -> list[str]:
    return [note for note in dataset.info.notes if "skipped" in note]
