"""Metrics: streaming figures of merit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from mmft_core.contracts.data import DatasetInfo

MetricValue: TypeAlias = float | list[float] | list[list[float]]
"""A figure; one for each class, in their order; or a matrix with a row for each true class."""


class Metric(ABC):
    """A streaming figure of merit whose states merge across processes."""

    @abstractmethod
    def update(self, predictions: Any, targets: Any) -> None:
        """Take in a batch."""

    @abstractmethod
    def compute(self) -> dict[str, MetricValue]:
        """The figures over all that was taken in.

        A single figure is keyed "", several by what they are: {"macro": ..., "per-class": ...}.
        """

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
