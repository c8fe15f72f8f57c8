"""`mmft run` as a contender."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Attributes:
        lines: of each step its loss, and the seconds, samples and waiting before it.
        seconds, waited: of all steps.
        samples: of all steps.
    """

    lines: Sequence[Mapping[str, Any]]
    results: Mapping[str, Any]
    seconds: float
    waited: float

    @property
    def samples(self) -> int:
        return round(self.results["timings"]["samples_per_second"] * self.seconds)

    @property
    def loss(self) -> float:
        """The mean of all steps."""
        return statistics.fmean(line["loss"] for line in self.lines)


def train(arguments: Sequence[str], settings: Mapping[str, object]) -> Trained:
    """Train, by default on all of the data without validation or test."""
    from mmft_core.cli import main
    from mmft_core.engine.metrics_log import read_metrics

    own = {"engine.log_every": 1, "dataset.val": 0.0, "dataset.test": 0.0, **settings}
    with tempfile.TemporaryDirectory() as output:
        run = Path(output) / "run"
        main(["run", *arguments, f"--output={run}", *(f"--set={k}={v}" for k, v in own.items())])
        lines = [line for line in read_metrics(run / "metrics.jsonl") if "split" not in line]
        results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    timings = results["timings"]
    return Trained(lines, results, timings["training_seconds"], timings["waiting_for_data_seconds"])
