"""Metrics of torchmetrics as metrics of a plugin."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torchmetrics
from torch import Tensor

from mmft_core.contracts import Metric, MetricValue


class TorchMetrics(Metric):
    """One or several torchmetrics, by the part of the result that each gives."""

    def __init__(self, parts: Mapping[str, torchmetrics.Metric]) -> None:
        self.parts = dict(parts)
        for part in self.parts.values():
            for metric in part.modules():
                if isinstance(metric, torchmetrics.Metric):
                    # States of several processes are merged by `merge`; torchmetrics' own way
                    # would wait in `compute`, which only one of them calls.
                    metric.distributed_available_fn = _never

    def update(self, predictions: Any, targets: Any) -> None:
        for part in self.parts.values():
            if part.device != predictions.device:  # It walks all states, even if none has to move.
                part.to(predictions.device)
            part.update(predictions, targets)

    def compute(self) -> dict[str, MetricValue]:
        return {name: _plain(self.quietly(part)) for name, part in self.parts.items()}

    @staticmethod
    def quietly(part: torchmetrics.Metric) -> Tensor:
        """What a part comes to, without torchmetrics' warnings of classes without samples."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found: Tensor = part.compute()
            return found

    def state(self) -> Any:
        return {name: _to_cpu(part.metric_state) for name, part in self.parts.items()}

    def merge(self, state: Any) -> None:
        for name, part in self.parts.items():
            part.to("cpu").merge_state(state[name])

    def reset(self) -> None:
        for part in self.parts.values():
            part.reset()


def _never() -> bool:
    return False


def _plain(value: Tensor) -> MetricValue:
    numbers = value.tolist()
    return float(numbers) if isinstance(numbers, float | int) else numbers


def _to_cpu(state: Mapping[str, Any]) -> dict[str, Any]:
    return {k: [t.cpu() for t in v] if isinstance(v, list) else v.cpu() for k, v in state.items()}
