"""The classification metrics, counted by torchmetrics.

Predictions are probabilities (B, C), targets are class indices (B,).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torchmetrics
from torch import Tensor
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassAUROC,
    MulticlassCalibrationError,
    MulticlassConfusionMatrix,
    MulticlassStatScores,
)

from mmft_core import NoOptions
from mmft_core.contracts import Metric, MetricContext, MetricValue
from mmft_core.errors import some_of
from mmft_metrics.torch_metrics import TorchMetrics

# Thresholds of the ROC curve, denser towards 0 and 1 where trained networks put most of their
# probabilities. With fixed thresholds the curve takes constant memory however many samples there
# are; on 10,000 samples its area is within 1e-3 of the exact one.
_THRESHOLDS = torch.cat(
    [torch.zeros(1), torch.sigmoid(torch.linspace(-12, 12, 401)), torch.ones(1)]
)

Build = Callable[[NoOptions, MetricContext], Metric]


class PerClass(TorchMetrics):
    """A figure of each class, NaN where it is undefined, and means over those where it is not.

    So does scikit-learn with `zero_division=nan`.

    Attributes:
        noun: what the classes are called.
    """

    noun = "classes"

    def __init__(self, counted: torchmetrics.Metric, classes: Sequence[str], lacking: str) -> None:
        """Args:
        counted: keeps what the figures are computed from.
        lacking: what is true of a class whose figure is undefined, after "which".
        """
        super().__init__({"": counted})
        self.counted, self.classes, self.lacking = counted, classes, lacking

    def figures(self) -> tuple[Tensor, Tensor | None]:
        """The figure of each class (C,), and the samples of each (C,) if a mean is weighted."""
        raise NotImplementedError

    def compute(self) -> dict[str, MetricValue]:
        found, support = self.figures()
        defined = ~found.isnan()
        means: dict[str, MetricValue] = {"macro": _mean(found[defined])}
        if support is not None:
            means["weighted"] = _mean(found[defined], support[defined].double())
        return {**means, "per-class": found.tolist()}

    def remarks(self) -> Sequence[str]:
        found, _ = self.figures()
        names = [self.classes[index] for index in found.isnan().nonzero().flatten().tolist()]
        if not names:
            return ()
        told = some_of(names).rstrip(".")
        number = f"{len(names):,} of {len(self.classes):,} {self.noun}"
        return (f"undefined for {number}, which {self.lacking}: {told}",)


class Share(PerClass):
    """A ratio of counts of each class: true and false positives and negatives."""

    def __init__(
        self,
        share: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]],
        classes: Sequence[str],
        lacking: str,
    ) -> None:
        """Args:
        share: makes numerator and denominator of true positives, false ones and false
            negatives, (C,) each.
        """
        super().__init__(MulticlassStatScores(len(classes), average="none"), classes, lacking)
        self.share = share

    def figures(self) -> tuple[Tensor, Tensor]:
        counts = self.counted.compute().double()
        hits, false_alarms, _, misses, support = counts.unbind(-1)
        above, below = self.share(hits, false_alarms, misses)
        return above / below, support  # 0 / 0 is NaN.


class RocAuc(PerClass):
    """The area under the ROC curve of each class against the rest."""

    def figures(self) -> tuple[Tensor, None]:
        areas = self.quietly(self.counted).double()
        # At the lowest threshold: (C, true or not, above it or not).
        others, own = self.counted.confmat[0].sum(-1).unbind(-1)  # type: ignore[index, operator]
        return areas.masked_fill((own == 0) | (others == 0), math.nan), None


def _mean(values: Tensor, weights: Tensor | None = None) -> float:
    """The weighted mean; NaN of nothing."""
    weights = torch.ones_like(values) if weights is None else weights
    return float((values * weights).sum() / weights.sum())


def build_accuracy(options: NoOptions, context: MetricContext) -> Metric:
    """Share of right predictions."""
    return TorchMetrics({"": MulticlassAccuracy(len(_classes(context)), average="micro")})


def build_top5_accuracy(options: NoOptions, context: MetricContext) -> Metric:
    """Share of samples whose class is among the five most probable; of five classes or fewer, where
    it is always 1, none."""
    classes = len(_classes(context))
    if classes <= 5:
        return TorchMetrics({})
    return TorchMetrics({"": MulticlassAccuracy(classes, top_k=5, average="micro")})


def build_precision(options: NoOptions, context: MetricContext) -> Metric:
    """Of the samples taken for a class, the share that are of it."""
    return Share(lambda h, f, m: (h, h + f), _classes(context), "were never predicted")


def build_recall(options: NoOptions, context: MetricContext) -> Metric:
    """Of the samples of a class, the share that are taken for it."""
    return Share(lambda h, f, m: (h, h + m), _classes(context), "have no samples")


def build_f1(options: NoOptions, context: MetricContext) -> Metric:
    """The harmonic mean of precision and recall."""
    lacking = "have no samples and were never predicted"
    return Share(lambda h, f, m: (2 * h, 2 * h + f + m), _classes(context), lacking)


def build_confusion_matrix(options: NoOptions, context: MetricContext) -> Metric:
    """Counts by true class (row) and predicted class (column)."""
    return TorchMetrics({"": MulticlassConfusionMatrix(len(_classes(context)))})


def build_roc_auc(options: NoOptions, context: MetricContext) -> Metric:
    """Area under the ROC curve of each class against the rest, and their mean."""
    classes = _classes(context)
    counted = MulticlassAUROC(len(classes), average="none", thresholds=_THRESHOLDS)
    return RocAuc(counted, classes, "have no samples, or all of them")


def build_calibration_error(options: NoOptions, context: MetricContext) -> Metric:
    """Expected calibration error over 15 bins of confidence (Naeini et al., 2015)."""
    classes = len(_classes(context))
    return TorchMetrics({"": MulticlassCalibrationError(classes, n_bins=15, norm="l1")})


def _classes(context: MetricContext) -> Sequence[str]:
    """The names of the classes, of which torchmetrics needs two."""
    known = context.info.classes
    return known if len(known) > 1 else [*known, *map(str, range(len(known), 2))]
