"""Checks of metrics: streaming, merging, forgetting."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Iterable
from typing import Any

from mmft_core import Component, MetricSpec
from mmft_core.contracts import Metric, MetricValue
from mmft_testing.tools import equal
from mmft_testing.workbench import Workbench

Spec = Component[MetricSpec]

TOLERANCE = 1e-5


def gives_finite_figures(bench: Workbench, component: Spec) -> None:
    """The result maps names to finite numbers, or to lists or matrices of them with NaN for what is
    undefined."""
    values = _over(bench, component, bench.predictions(component)).compute()
    assert isinstance(values, dict) and values, "compute returns no values"
    for name, value in values.items():
        assert isinstance(name, str), f"{name!r} is not the name of a value"
        assert _finite(value), f"the value of '{name}' is {value!r}"
    json.dumps(values)


def merging_equals_a_single_pass(bench: Workbench, component: Spec) -> None:
    """States of processes that saw a part each merge to what one process would have seen."""
    batches = bench.predictions(component)
    whole = _over(bench, component, batches).compute()
    for parts in ((batches[:1], batches[1:]), (batches, []), ([], batches)):
        first, second = (_over(bench, component, part) for part in parts)
        first.merge(pickle.loads(pickle.dumps(second.state())))
        merged = first.compute()
        assert equal(merged, whole, TOLERANCE), (
            f"merged from {len(parts[0])} and {len(parts[1])} batches it is {merged}, "
            f"in a single pass {whole}"
        )


def looking_changes_nothing(bench: Workbench, component: Spec) -> None:
    """Computing, and giving out the state, leave the metric as it was."""
    batches = bench.predictions(component)
    whole = _over(bench, component, batches).compute()
    watched = bench.new_metric(component)
    for predictions, targets in batches:
        watched.update(predictions, targets)
        watched.state()
        watched.compute()
    assert equal(watched.compute(), whole, TOLERANCE), "computing in between changes the result"


def reset_forgets(bench: Workbench, component: Spec) -> None:
    """After a reset only what comes then counts."""
    batches = bench.predictions(component)
    fresh = _over(bench, component, batches[:1]).compute()
    used = _over(bench, component, batches[1:])
    used.compute()
    used.reset()
    used.update(*batches[0])
    assert equal(used.compute(), fresh, TOLERANCE), "after a reset it still knows what it saw"


def _over(bench: Workbench, component: Spec, batches: Iterable[tuple[Any, Any]]) -> Metric:
    metric = bench.new_metric(component)
    for predictions, targets in batches:
        metric.update(predictions, targets)
    return metric


def _finite(value: MetricValue | Any) -> bool:
    """Whether a figure is a finite number, or lists of them, in which NaN stands for what is
    undefined: a class that was never predicted has no precision."""
    if isinstance(value, list):
        return bool(value) and all(_finite(item) or item != item for item in value)
    return isinstance(value, float | int) and math.isfinite(value)


CHECKS = (
    gives_finite_figures,
    merging_equals_a_single_pass,
    looking_changes_nothing,
    reset_forgets,
)
