"""Metrics, computed while predictions stream by."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor

from mmft_core.contracts.data import DatasetInfo

MetricValue: TypeAlias = float | list[float | None] | list[list[float | None]] | None
"""A number; one for each class, in their order; or a matrix with a row for each true class. What
is undefined on the samples is None; metrics may give NaN for it, which an evaluation makes None."""


class Metric(ABC):
    """A streaming metric whose states merge across processes."""

    @abstractmethod
    def update(self, predictions: Any, targets: Any) -> None:
        """Take in a batch."""

    @abstractmethod
    def compute(self) -> dict[str, MetricValue]:
        """The values over all that was taken in.

        A single value is keyed "", several by what they are: {"macro": ..., "per-class": ...}.
        What is undefined on them (a mean of nothing, a ratio with a denominator of 0) is NaN or
        None, and is left out of means.
        """

    def remarks(self) -> Sequence[str]:
        """What a reader of the values must know: which are undefined, and why.

        Each follows the metric's name and a colon: "undefined for 2 classes without samples: a, b".
        """
        return ()

    @abstractmethod
    def state(self) -> Any:
        """What was taken in, to be merged into another process's metric. Picklable."""

    @abstractmethod
    def merge(self, state: Any) -> None:
        """Take in what another process took in."""

    @abstractmethod
    def reset(self) -> None:
        """Forget everything."""


@dataclass(frozen=True, kw_only=True)
class MetricContext:
    """What a metric is built with."""

    info: DatasetInfo = field(default_factory=lambda: DatasetInfo(name=""))


class SampleMean(Metric):
    """The mean of a score of each sample. Only `scores` has to be written."""

    _total: float
    _count: int

    def __init__(self, options: Any = None, context: MetricContext | None = None) -> None:
        self.options, self.context = options, context
        self.reset()

    @abstractmethod
    def scores(self, predictions: Any, targets: Any) -> Tensor | Sequence[float]:
        """A number or a boolean for each sample of a batch (B,)."""

    def update(self, predictions: Any, targets: Any) -> None:
        scores = torch.as_tensor(self.scores(predictions, targets)).double()
        self._total, self._count = self._total + float(scores.sum()), self._count + len(scores)

    def compute(self) -> dict[str, MetricValue]:
        return {"": self._total / self._count if self._count else math.nan}

    def state(self) -> tuple[float, int]:
        return self._total, self._count

    def merge(self, state: tuple[float, int]) -> None:
        self._total, self._count = self._total + state[0], self._count + state[1]

    def reset(self) -> None:
        self._total, self._count = 0.0, 0
