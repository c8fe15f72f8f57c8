"""Streaming metrics."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor

from mmft_core.contracts.data import DatasetInfo
from mmft_core.errors import PluginError
from mmft_core.plugin_errors import FAULT

MetricValue: TypeAlias = float | list[float | None] | list[list[float | None]] | None
"""A number; one for each class, in their order; or a matrix with a row for each true class. What
is undefined on the samples is None; metrics may give NaN for it, which an evaluation makes None."""


class Metric(ABC):
    """A streaming metric whose states merge across processes.

    Attributes:
        component: its name in messages, "metric 'accuracy' of mmft 1.0"; set when it is built.
    """

    component: str = ""

    @abstractmethod
    def update(self, predictions: Any, targets: Any) -> None:
        """Add a batch."""

    @abstractmethod
    def compute(self) -> dict[str, MetricValue]:
        """The values over everything that was added.

        A single value has the key "", several have names: {"macro": ..., "per-class": ...}. An
        undefined value (a mean of nothing, a ratio with a denominator of 0) is NaN or None, and is
        excluded from means.
        """

    def remarks(self) -> Sequence[str]:
        """Remarks that a reader of the values needs: which are undefined, and why.

        Each is printed after the metric's name: "undefined for 2 classes without samples: a, b".
        """
        return ()

    @abstractmethod
    def state(self) -> Any:
        """Everything that was added, to be merged in another process. Picklable."""

    @abstractmethod
    def merge(self, state: Any) -> None:
        """Add the state of another process."""

    @abstractmethod
    def reset(self) -> None:
        """Remove everything that was added."""


@dataclass(frozen=True, kw_only=True)
class MetricContext:
    """What a metric is built with."""

    info: DatasetInfo = field(default_factory=lambda: DatasetInfo(name=""))


class SampleMean(Metric):
    """The mean of a score per sample. Only `scores` has to be implemented."""

    _total: float
    _count: int

    def __init__(self, options: Any = None, context: MetricContext | None = None) -> None:
        self.options, self.context = options, context
        self.reset()

    @abstractmethod
    def scores(self, predictions: Any, targets: Any) -> Tensor | Sequence[float]:
        """A number or a boolean for each sample of a batch (B,)."""

    def update(self, predictions: Any, targets: Any) -> None:
        found = self.scores(predictions, targets)
        try:
            scores = torch.as_tensor(found).double()
        except (TypeError, ValueError, RuntimeError):
            raise self._fault(f"type {type(found).__name__}, not numbers (B,)") from None
        if scores.ndim != 1:
            raise self._fault(f"shape {tuple(scores.shape)}, not (B,)")
        self._total, self._count = self._total + float(scores.sum()), self._count + len(scores)

    def _fault(self, what: str) -> PluginError:
        called = self.component or type(self).__name__
        return PluginError(f"The {called} returned scores of {what}.", hint=FAULT)

    def compute(self) -> dict[str, MetricValue]:
        return {"": self._total / self._count if self._count else math.nan}

    def state(self) -> tuple[float, int]:
        return self._total, self._count

    def merge(self, state: tuple[float, int]) -> None:
        self._total, self._count = self._total + state[0], self._count + state[1]

    def reset(self) -> None:
        self._total, self._count = 0.0, 0
