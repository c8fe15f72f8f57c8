"""The metrics of multi-label classification, counted by torchmetrics.

Predictions are {"probabilities": (B, L), "thresholds": (B, L)}, targets are 0 and 1 (B, L).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torchmetrics.classification import MultilabelAveragePrecision, MultilabelStatScores
from torchmetrics.utilities import dim_zero_cat

from mmft_classification.metrics import PerClass
from mmft_core import NoOptions
from mmft_core.contracts import Metric, MetricContext, MetricValue


class LabelF1(PerClass):
    """F1 of each label at its threshold; with it its support and its threshold."""

    noun = "labels"

    def __init__(self, labels: Sequence[str]) -> None:
        counted = MultilabelStatScores(len(labels), average="none")
        super().__init__(counted, labels, "have no samples and were never predicted")
        self.thresholds: list[float] = []

    def update(self, predictions: Mapping[str, Tensor], targets: Tensor) -> None:
        probabilities, thresholds = predictions["probabilities"], predictions["thresholds"]
        found = (probabilities > thresholds).int()
        self.counted.to(found.device).update(found, targets.int())
        self.thresholds = thresholds[0].tolist()

    def figures(self) -> tuple[Tensor, Tensor]:
        hits, false_alarms, _, misses, support = self.quietly(self.counted).double().unbind(-1)
        return 2 * hits / (2 * hits + false_alarms + misses), support  # 0 / 0 is NaN.

    def compute(self) -> dict[str, MetricValue]:
        counts = self.quietly(self.counted)  # (L, 5)
        hits, false_alarms, _, misses, _ = counts.sum(0).tolist()
        either = 2 * hits + false_alarms + misses
        return {
            **super().compute(),
            "micro": 2 * hits / either if either else math.nan,
            "support": counts[:, 4].tolist(),
            "threshold": list(self.thresholds),
        }

    def state(self) -> Any:
        return super().state(), self.thresholds

    def merge(self, state: Any) -> None:
        super().merge(state[0])
        self.thresholds = self.thresholds or state[1]

    def reset(self) -> None:
        super().reset()
        self.thresholds = []


class LabelAveragePrecision(PerClass):
    """The average precision of each label, which depends on no threshold."""

    noun = "labels"

    def __init__(self, labels: Sequence[str]) -> None:
        counted = MultilabelAveragePrecision(len(labels), average="none", thresholds=None)
        super().__init__(counted, labels, "have no samples")

    def update(self, predictions: Mapping[str, Tensor], targets: Tensor) -> None:
        # It needs every probability; the memory of a GPU is for other things.
        self.counted.update(predictions["probabilities"].cpu(), targets.int().cpu())

    def figures(self) -> tuple[Tensor, None]:
        support = dim_zero_cat(self.counted.target).sum(0)  # type: ignore[arg-type]
        return self.quietly(self.counted).double().masked_fill(support == 0, math.nan), None

    def compute(self) -> dict[str, MetricValue]:
        found = super().compute()
        # Not "per-class", by which the report has its order: there F1 is alone.
        return {"macro": found["macro"], "per-label": found["per-class"]}


def build_map(options: NoOptions, context: MetricContext) -> Metric:
    """The mean average precision over labels, and that of each."""
    return LabelAveragePrecision(context.info.classes)


def build_f1(options: NoOptions, context: MetricContext) -> Metric:
    """F1 at the labels' thresholds: macro, micro, weighted by support, and of each."""
    return LabelF1(context.info.classes)
