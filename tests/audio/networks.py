"""Small audio backbones and recordings for them."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from mmft_audio.recordings import Recording
from mmft_core import BackboneSpec
from mmft_core.config.options import convert
from mmft_core.contracts import (
    Backbone,
    BackboneContext,
    DatasetInfo,
    Features,
    Sample,
    Split,
    Tensors,
)
from mmft_core.discovery import discover
from mmft_core.loading.prepared import seed_everything
from mmft_core.weights import WeightsRequest

RATE = 16_000
TEXTS = ["set a timer", "turn on the light", "three hundred and seven", "stop"]
SECONDS = [1.3, 2.1, 0.9, 0.5]


def sound(seconds: float, seed: int = 0, rate: int = RATE) -> np.ndarray[Any, Any]:
    """Syllables of sorts: tones that come and go, with a little noise."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    pitch = 120 + 40 * random.random() + 20 * np.sin(2 * np.pi * random.random() * time)
    voice = sum(np.sin(2 * np.pi * k * pitch * time) / k for k in range(1, 8))
    syllables = np.clip(np.sin(2 * np.pi * (3 + random.random()) * time), 0, 1)
    return (0.2 * voice * syllables + 0.001 * random.standard_normal(len(time))).astype("float32")


class Recordings(Split):
    """Recordings with transcripts, in files of a folder."""

    def __init__(
        self, folder: Path, seconds: Sequence[float] = SECONDS, texts: Sequence[str] = TEXTS
    ) -> None:
        self.texts = list(texts)
        self.files = [folder / f"{i}.wav" for i in range(len(seconds))]
        for i, (file, length) in enumerate(zip(self.files, seconds, strict=True)):
            soundfile.write(file, sound(length, i), RATE)

    def __len__(self) -> int:
        return len(self.files)

    def raw(self, index: int) -> Recording:
        return Recording(self.files[index], id=str(self.files[index]))

    def __getitem__(self, index: int) -> Sample:
        return Sample({"audio": self.raw(index)}, self.texts[index], str(self.files[index]))

    def table(self, column: str) -> Path:
        """Write a table beside the files, of their names and, in a column, their texts."""
        file = self.files[0].with_name("spoken.csv")
        with file.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(("path", column))
            writer.writerows((f.name, t) for f, t in zip(self.files, self.texts, strict=True))
        return file


def make_backbone(
    name: str,
    train: Split | None,
    *,
    needs: tuple[str, ...] = ("transcription",),
    weights: str = "none",
    assets: Path | None = None,
    info: DatasetInfo | None = None,
    **options: Any,
) -> Any:
    """A backbone of size tiny, in evaluation mode."""
    component = discover().get(BackboneSpec, name)
    context = BackboneContext(
        weights=WeightsRequest("run" if assets else weights, "audio"),
        info=info or DatasetInfo(name="recordings"),
        needs=needs,
        train=train,
        assets=assets,
    )
    seed_everything(0)
    given = {"size": "tiny", **options}
    built = component.build(convert(given, component.options_type(), "backbone"), context)
    assert isinstance(built, Backbone)
    return built.eval()


def collated(backbone: Any, split: Recordings, rows: Sequence[int] | None = None) -> Tensors:
    """Inputs as the tasks of transcripts have them."""
    processor = backbone.processor
    chosen = range(len(split)) if rows is None else rows
    inputs: Tensors = processor.collate(
        [processor.prepare(split.raw(i), train=False) for i in chosen]
    )
    return inputs


def heard(backbone: Any, split: Recordings, rows: Sequence[int] | None = None) -> Features:
    """The features of recordings."""
    features: Features = backbone.encode(collated(backbone, split, rows))
    return features


def real_whisper() -> Path:
    """The folder of a pretrained Whisper tiny.en; skips the test where there is none."""
    beside = Path(__file__).parents[2].parent / "shared" / "weights" / "whisper-tiny.en"
    folder = Path(os.environ.get("MMFT_TEST_WHISPER") or beside)
    if not (folder / "model.safetensors").is_file():
        pytest.skip("MMFT_TEST_WHISPER names no folder of a pretrained Whisper tiny.en")
    return folder
