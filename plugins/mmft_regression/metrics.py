"""The regression metrics.

Predictions and targets are numbers (B,).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

from torch import Tensor
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError

from mmft_core import NoOptions
from mmft_core.contracts import Metric, MetricContext, MetricValue
from mmft_metrics.torch_metrics import TorchMetrics


@dataclass
class _Sums:
    """Of targets: how many, their mean, squared deviations from it; and the squared errors.

    Merged as by Chan, Golub and LeVeque (1979), so that targets of little spread around a large
    mean lose no digits.
    """

    count: int = 0
    mean: float = 0.0
    deviations: float = 0.0
    errors: float = 0.0

    @property
    def constant(self) -> bool:
        """Whether there is no spread beyond the rounding of 64-bit sums."""
        return self.deviations <= self.count * (1e-12 * self.mean) ** 2

    def merge(self, other: _Sums) -> None:
        count = self.count + other.count
        if not count:
            return
        step = other.mean - self.mean
        self.mean += step * other.count / count
        self.deviations += other.deviations + step * step * self.count * other.count / count
        self.errors += other.errors
        self.count = count


class R2(Metric):
    """The share of the targets' variance that is explained; undefined if they do not vary."""

    def __init__(self) -> None:
        self.reset()

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        if not len(targets):
            return
        found, wanted = predictions.cpu().double(), targets.cpu().double()
        mean = wanted.mean()
        deviations, errors = (wanted - mean).square().sum(), (found - wanted).square().sum()
        self.sums.merge(_Sums(len(wanted), float(mean), float(deviations), float(errors)))

    def compute(self) -> dict[str, MetricValue]:
        sums = self.sums
        return {"": math.nan if sums.constant else 1 - sums.errors / sums.deviations}

    def remarks(self) -> Sequence[str]:
        if not self.sums.constant:
            return ()
        few = "there are fewer than two samples"
        why = few if self.sums.count < 2 else f"all targets are {self.sums.mean:.7g}"
        return (f"undefined, because {why}",)

    def state(self) -> Any:
        return astuple(self.sums)

    def merge(self, state: Any) -> None:
        self.sums.merge(_Sums(*state))

    def reset(self) -> None:
        self.sums = _Sums()


def build_mae(options: NoOptions, context: MetricContext) -> Metric:
    """Mean absolute error."""
    return TorchMetrics({"": MeanAbsoluteError()})


def build_rmse(options: NoOptions, context: MetricContext) -> Metric:
    """Root mean squared error."""
    return TorchMetrics({"": MeanSquaredError(squared=False)})


def build_r2(options: NoOptions, context: MetricContext) -> Metric:
    """Coefficient of determination."""
    return R2()
