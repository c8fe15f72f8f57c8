"""A metric: accuracy in which every class counts the same."""

from __future__ import annotations

import torch
from torch import Tensor

from mmft_core.contracts import Metric, MetricContext, MetricValue
from mmft_core.registry import NoOptions


class BalancedAccuracy(Metric):
    """Counts right and all samples of each class; these counts are its whole state."""

    def __init__(self, options: NoOptions, context: MetricContext) -> None:
        self.classes = len(context.info.classes)
        self.reset()

    def reset(self) -> None:
        self.right = torch.zeros(self.classes)
        self.all = torch.zeros(self.classes)

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        targets, labels = targets.cpu(), predictions.argmax(-1).cpu()
        self.all += targets.bincount(minlength=self.classes)
        self.right += targets[labels == targets].bincount(minlength=self.classes)

    def compute(self) -> dict[str, MetricValue]:
        present = self.all > 0
        return {"": float((self.right[present] / self.all[present]).mean())}

    def state(self) -> tuple[Tensor, Tensor]:
        return self.right, self.all

    def merge(self, state: tuple[Tensor, Tensor]) -> None:
        self.right, self.all = self.right + state[0], self.all + state[1]
