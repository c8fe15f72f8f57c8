"""How often `metrics.jsonl` gets a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmft_core.contracts.callbacks import TrainStart, TrainStep
from mmft_core.engine.metrics_log import read_metrics
from mmft_core.run.callbacks import MetricsFile


@pytest.mark.parametrize(
    ("given", "steps", "lines"),
    [(None, 9, 9), (None, 200, 51), (None, 1000, 101), (4, 9, 3)],
)
def test_short_runs_have_a_course_too(
    tmp_path: Path, given: int | None, steps: int, lines: int
) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl", given)
    file.on_train_start(
        TrainStart(
            step=0, total_steps=steps, steps_per_epoch=3, samples=9, precision="fp32", device="cpu"
        )
    )
    for step in range(1, steps + 1):
        file.on_step(
            TrainStep(
                step=step,
                epoch=1,
                loss=1.0,
                lr=0.1,
                samples=step,
                seconds=1.0,
                waited=0,
            )
        )
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == lines
