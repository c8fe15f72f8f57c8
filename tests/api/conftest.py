"""A run from Python, on pictures that a program holds in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mmft
from mmft_core.contracts import Callback

SMALL: dict[str, Any] = {"backbone.image_size": 32, "engine.workers": 0}


class Heard(Callback):
    """Notes what a callback is told."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def on_step(self, event: Any) -> None:
        self.events.append(f"step {event.step}")

    def on_evaluation(self, event: Any) -> None:
        self.events.append(event.split)


def pictures(count: int) -> list[dict[str, Any]]:
    """Rows of noise, of which every other one is red."""
    random, rows = np.random.default_rng(0), []
    for number in range(count):
        pixels = random.integers(0, 60, (24, 24, 3), dtype=np.uint8)
        pixels[..., 0] += 160 * (number % 2)
        label = "red" if number % 2 else "dark"
        rows.append({"image": Image.fromarray(pixels), "label": label})
    return rows


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of the module's own: other modules find what the built-in data have cost once."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def heard() -> Heard:
    return Heard()


@pytest.fixture(scope="module")
def reds(
    cache: Path, heard: Heard, narrow_pictures: None, tmp_path_factory: pytest.TempPathFactory
) -> mmft.Run:
    """A finished run that tells red pictures from dark ones."""
    run = mmft.run(
        task="image-cls",
        backbone="resnet18",
        dataset=pictures(60),
        weights="none",
        epochs=2,
        batch_size=8,
        output=tmp_path_factory.mktemp("runs") / "reds",
        callbacks=[heard],
        progress=False,
        **SMALL,
    )
    assert isinstance(run, mmft.Run)
    return run
