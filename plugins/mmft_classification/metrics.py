"""The classification metrics, all of them torchmetrics'.

Predictions are probabilities (B, C), targets are class indices (B,).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torchmetrics
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassAUROC,
    MulticlassCalibrationError,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
)

from mmft_core.contracts import Metric, MetricContext
from mmft_core.registry import NoOptions
from mmft_core.torch_metrics import TorchMetrics

# Thresholds of the ROC curve, denser towards 0 and 1 where trained networks put most of their
# probabilities. With fixed thresholds the curve takes constant memory however many samples there
# are; on 10,000 samples its area is within 1e-3 of the exact one.
_THRESHOLDS = torch.cat(
    [torch.zeros(1), torch.sigmoid(torch.linspace(-12, 12, 401)), torch.ones(1)]
)

Build = Callable[[NoOptions, MetricContext], Metric]


def build_accuracy(options: NoOptions, context: MetricContext) -> Metric:
    """Share of right predictions."""
    return TorchMetrics({"": MulticlassAccuracy(_classes(context), average="micro")})


def build_top5_accuracy(options: NoOptions, context: MetricContext) -> Metric:
    """Share of samples whose class is among the five most probable; of five classes or fewer, where
    it is always 1, none."""
    classes = _classes(context)
    if classes <= 5:
        return TorchMetrics({})
    return TorchMetrics({"": MulticlassAccuracy(classes, top_k=5, average="micro")})


def _averages(kind: type[torchmetrics.Metric]) -> Build:
    def build(options: NoOptions, context: MetricContext) -> Metric:
        averages = {"macro": "macro", "weighted": "weighted", "per-class": "none"}
        return TorchMetrics(
            {name: kind(_classes(context), average=average) for name, average in averages.items()}
        )

    return build


build_precision = _averages(MulticlassPrecision)
build_recall = _averages(MulticlassRecall)
build_f1 = _averages(MulticlassF1Score)


def build_confusion_matrix(options: NoOptions, context: MetricContext) -> Metric:
    """Counts by true class (row) and predicted class (column)."""
    return TorchMetrics({"": MulticlassConfusionMatrix(_classes(context))})


def build_roc_auc(options: NoOptions, context: MetricContext) -> Metric:
    """Area under the ROC curve of each class against the rest, and their mean."""
    return TorchMetrics(
        {
            name: MulticlassAUROC(_classes(context), average=average, thresholds=_THRESHOLDS)
            for name, average in {"macro": "macro", "per-class": "none"}.items()
        }
    )


def build_calibration_error(options: NoOptions, context: MetricContext) -> Metric:
    """Expected calibration error over 15 bins of confidence (Naeini et al., 2015)."""
    return TorchMetrics({"": MulticlassCalibrationError(_classes(context), n_bins=15, norm="l1")})


def _classes(context: MetricContext) -> int:
    return max(2, len(context.info.classes))
