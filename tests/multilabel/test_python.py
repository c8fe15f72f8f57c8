"""Pictures with lists of labels that a program holds; a run that was interrupted and resumed."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mmft
from mmft_core.contracts import Callback


class Stop(Callback):
    """Interrupts a training as Ctrl-C does."""

    def on_step(self, event: Any) -> None:
        if event.step == 2:
            os.kill(os.getpid(), signal.SIGINT)


def pictures(count: int) -> list[dict[str, Any]]:
    """Rows of noise, of which some are red, some are green, and some are both or neither."""
    random, rows = np.random.default_rng(0), []
    for number in range(count):
        pixels = random.integers(0, 60, (24, 24, 3), dtype=np.uint8)
        own = [name for bit, name in enumerate(("red", "green")) if number >> bit & 1]
        for channel, name in enumerate(("red", "green")):
            pixels[..., channel] += 160 * (name in own)
        rows.append({"image": Image.fromarray(pixels), "labels": own})
    return rows


@pytest.mark.usefixtures("narrow_pictures")
def test_a_resumed_run_ends_in_the_same_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    common: dict[str, Any] = {
        "task": "image-multilabel",
        "backbone": "resnet18",
        "dataset": pictures(40),
        "weights": "none",
        "batch_size": 8,
        "progress": False,
        "backbone.image_size": 32,
        "engine.steps": 4,
        "engine.workers": 0,
        "task.loss": "asymmetric",
        "task.class_weights": "auto",
    }
    whole = mmft.run(**common, output=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt, match="resume"):
        mmft.run(**common, output=tmp_path / "cut", callbacks=[Stop()])
    resumed = mmft.resume(tmp_path / "cut", progress=False)
    files = [run.path / "model" / "model.safetensors" for run in (whole, resumed)]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert whole.metrics == resumed.metrics
    (record,) = whole.predict(pictures(4)[3]["image"], top_k=2)
    assert {entry["label"] for entry in record["top"]} == {"red", "green"}
