"""The regression metrics, all of them torchmetrics'.

Predictions and targets are numbers (B,).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError, R2Score

from mmft_core.contracts import Metric, MetricContext
from mmft_core.registry import NoOptions
from mmft_core.torch_metrics import TorchMetrics


class _R2(R2Score):
    def compute(self) -> Tensor:
        # Of one sample there is no variance to explain.
        return super().compute() if self.total > 1 else torch.tensor(math.nan)


def build_mae(options: NoOptions, context: MetricContext) -> Metric:
    """Mean absolute error."""
    return TorchMetrics({"": MeanAbsoluteError()})


def build_rmse(options: NoOptions, context: MetricContext) -> Metric:
    """Root mean squared error."""
    return TorchMetrics({"": MeanSquaredError(squared=False)})


def build_r2(options: NoOptions, context: MetricContext) -> Metric:
    """Coefficient of determination."""
    return TorchMetrics({"": _R2()})
