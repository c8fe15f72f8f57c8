"""Records of figures: JSON without NaN, and what goes by figures that may be undefined."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmft_core.contracts.callbacks import Evaluated, TrainStart
from mmft_core.engine.evaluation import Evaluation
from mmft_core.engine.metrics_log import read_metrics
from mmft_core.engine.monitor import Monitor
from mmft_core.engine.state import Progress
from mmft_core.errors import ConfigError, DataError
from mmft_core.run.callbacks import MetricsFile
from mmft_core.utils.files import json_text, write_json
from mmft_suggest.probe import probe
from mmft_sweep.trial import PruningCallback
from mmft_trackers.tracker import scalars_of

NAN, INFINITY = math.nan, math.inf


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            {"a": NAN, "b": [1.5, -INFINITY, (NAN, "nan")]},
            {"a": None, "b": [1.5, None, [None, "nan"]]},
        ),
        ([{"é": INFINITY}], [{"é": None}]),
        ({"a": 1, "b": None, "c": [True]}, {"a": 1, "b": None, "c": [True]}),
    ],
)
def test_json_has_no_nan(tmp_path: Path, value: Any, expected: Any) -> None:
    assert json.loads(json_text(value), parse_constant=refuse) == expected
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text(), parse_constant=refuse) == expected


def evaluation(**values: Any) -> Evaluation:
    return Evaluation(loss=NAN, values={"accuracy": 0.5, **values}, remarks=("auc: undefined, so",))


def test_an_evaluation_tells_undefined_from_unknown() -> None:
    judged = evaluation(**{"auc/macro": None, "auc/per-class": [None, 0.5]})
    assert judged.record == {
        "loss": None, "accuracy": 0.5, "auc/macro": None, "auc/per-class": [None, 0.5]
    }  # fmt: skip
    assert judged.defined_scalars == {"accuracy": 0.5}
    assert judged.scalar("auc/macro") is None and judged.scalar("loss") is None
    assert judged.why_undefined("auc/macro") == "undefined, so"
    with pytest.raises(ConfigError, match="Did you mean 'auc/macro'"):
        judged.scalar("auc/macr")


def test_an_undefined_figure_is_neither_better_nor_worse() -> None:
    monitor, progress = Monitor(name="auc", higher_is_better=True), Progress()
    for value, since in ((0.5, 0), (None, 0), (0.4, 1), (None, 1), (0.6, 0)):
        progress.evaluated(value, 1.0, monitor.better(value, 1.0, progress.best, 1.0))
        assert progress.evaluations_since_best == since
    assert progress.best == 0.6


def start(step: int = 0) -> TrainStart:
    return TrainStart(
        step=step, total_steps=9, steps_per_epoch=3, samples=9, precision="fp32", device="cpu"
    )


def test_lines_and_trackers_lack_what_is_undefined(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl", 1)
    file.on_train_start(start())
    for step, value in ((3, 0.5), (6, None)):
        judged = evaluation(**{"auc/macro": value})
        file.on_evaluation(
            Evaluated(step=step, epoch=1, split="val", evaluation=judged, best=False)
        )
    text = (tmp_path / "metrics.jsonl").read_text()
    first, second = (json.loads(line, parse_constant=refuse) for line in text.splitlines())
    assert first["auc/macro"] == 0.5 and "auc/macro" not in second and "loss" not in first
    assert scalars_of({**second, "old": NAN, "null": None}) == {"val/accuracy": 0.5}
    # As earlier versions wrote it, and as a resumed run writes it again.
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "split": "val", "loss": NaN}\n')
    file.on_train_start(start(step=2))
    assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 1, "split": "val", "loss": None}]


class Trial:
    def __init__(self) -> None:
        self.reports: list[tuple[float, int]] = []

    def report(self, value: float, step: int) -> None:
        self.reports.append((value, step))

    def should_prune(self) -> bool:
        return False


def test_a_pruner_hears_of_no_undefined_figure_but_of_its_turn(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(
        '{"step": 1, "split": "val", "auc": 0.25}\n{"step": 2, "split": "val"}\n'
        '{"step": 3, "split": "val", "auc": NaN}\n'
    )
    trial = Trial()
    callback = PruningCallback(trial, "auc", tmp_path, ())  # type: ignore[arg-type]
    callback.on_train_start(start(step=3))
    for value in (None, 0.75):
        judged = evaluation(auc=value)
        callback.on_evaluation(
            Evaluated(step=4, epoch=1, split="val", evaluation=judged, best=False)
        )
    assert trial.reports == [(0.25, 1), (0.75, 5)]


def test_a_probe_of_numbers_is_over_the_folds_that_define_it() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(10, 3)).astype(np.float32)
    found = probe(features, [1.0] * 5 + [2.0] * 5, "number", seed=0)
    assert found is not None and math.isfinite(found.mean) and math.isfinite(found.deviation)
    with pytest.raises(DataError, match="only one distinct number"):
        probe(features, [3.5] * 10, "number", seed=0)
