"""Figures of classes are scikit-learn's, on data that lack some of them too."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as reference

from mmft_core import MetricSpec, discover
from mmft_core.contracts import DatasetInfo, Metric, MetricContext

NAMES = ("ant", "bee", "cat", "dog", "emu")


def over(name: str, probabilities: Any, targets: Sequence[int], classes: int = 5) -> Metric:
    """A metric that saw the samples in two batches, merged from two processes."""
    component = discover().get(MetricSpec, name)
    context = MetricContext(info=DatasetInfo(name="", classes=NAMES[:classes]))
    half = len(targets) // 2
    first, second = (
        component.build(component.options_type()(), context) for _ in ("one process", "another")
    )
    for metric, part in ((first, slice(half)), (second, slice(half, None))):
        if len(targets[part]):
            rows = torch.tensor(np.asarray(probabilities)[part], dtype=torch.float32)
            metric.update(rows, torch.tensor(targets[part]))
    first.merge(second.state())
    return first


def sample(present: Sequence[int], seed: int, size: int = 60) -> tuple[Any, list[int]]:
    """Random probabilities of five classes that lean to the truth, which is one of `present`."""
    random = np.random.default_rng(seed)
    targets = random.choice(present, size)
    logits = random.normal(size=(size, 5)) + 2 * np.eye(5)[targets]
    rows = np.exp(logits)
    return rows / rows.sum(1, keepdims=True), targets.tolist()


def close(found: Any, expected: Any, tolerance: float = 1e-6) -> None:
    """Equal, where NaN is equal to NaN."""
    np.testing.assert_allclose(
        np.asarray(found, dtype=float), np.asarray(expected, dtype=float), atol=tolerance
    )


@pytest.mark.parametrize("present", [range(5), (0, 2), (1, 3, 4), (2,)])
@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_shares_are_scikit_learns_without_the_undefined(name: str, present: Sequence[int]) -> None:
    probabilities, targets = sample(present, seed=len(present))
    probabilities[:, 3] *= 0.01  # Hardly ever predicted.
    found = over(name, probabilities, targets).compute()
    predicted = probabilities.argmax(1)
    function = getattr(reference, f"{name}_score")

    def expected(average: str | None) -> Any:
        return function(
            targets, predicted, labels=range(5), average=average, zero_division=math.nan
        )

    close(found["per-class"], expected(None))
    close(found["macro"], expected("macro"))
    close(found["weighted"], expected("weighted"))


@pytest.mark.parametrize("present", [range(5), (0, 2), (1, 3, 4)])
def test_roc_auc_is_scikit_learns_over_the_classes_that_are_there(present: Sequence[int]) -> None:
    probabilities, targets = sample(present, seed=7, size=400)
    found = over("roc-auc", probabilities, targets).compute()
    areas = [
        reference.roc_auc_score(np.equal(targets, k), probabilities[:, k])
        if k in present
        else math.nan
        for k in range(5)
    ]
    close(found["per-class"], areas, 2e-3)
    close(found["macro"], np.nanmean(areas), 2e-3)


@pytest.mark.parametrize("absent", range(1, 4))
def test_a_perfect_model_is_perfect_whatever_is_absent(absent: int) -> None:
    targets = [k for k in range(5 - absent) for _ in range(4)]
    probabilities = np.full((len(targets), 5), 0.02) + 0.9 * np.eye(5)[targets]
    for name in ("roc-auc", "precision", "recall", "f1"):
        figures = over(name, probabilities, targets).compute()
        assert figures["macro"] == pytest.approx(1.0), name
        assert [math.isnan(v) for v in figures["per-class"]] == [k >= 5 - absent for k in range(5)]
    (remark,) = over("recall", probabilities, targets).remarks()
    names = ", ".join(NAMES[5 - absent :]).replace(", ", "; ")
    assert remark == f"undefined for {absent} of 5 classes, which have no samples: {names}"


def test_one_class_alone_has_no_area_under_a_curve() -> None:
    probabilities, targets = sample((2,), seed=1, size=9)
    metric = over("roc-auc", probabilities, targets)
    figures = metric.compute()
    assert math.isnan(figures["macro"]) and all(map(math.isnan, figures["per-class"]))
    assert "5 of 5 classes" in metric.remarks()[0]


def test_nothing_is_said_where_all_is_defined() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probabilities, targets = sample(range(5), seed=3, size=200)
        for name in ("roc-auc", "precision", "recall", "f1", "accuracy", "calibration-error"):
            metric = over(name, probabilities, targets)
            assert metric.compute() and not metric.remarks()


def test_many_classes_are_counted_and_a_few_named() -> None:
    component = discover().get(MetricSpec, "recall")
    names = tuple(f"k{number}" for number in range(40))
    metric = component.build(
        component.options_type()(), MetricContext(info=DatasetInfo(name="", classes=names))
    )
    metric.update(torch.eye(40)[:2], torch.tensor([0, 1]))
    assert metric.remarks() == (
        "undefined for 38 of 40 classes, which have no samples: k2; k3; k4; k5; k6 and 33 more",
    )
