"""Metrics of preferences: the rewards of answers, and how likely they are.

They are given predictions {"logps": (B, S)} and targets {"reference": (B, S), "beta": (B,),
"desirable": (B,) bool}, where S is 2 for pairs, the chosen answer first, and 1 for single answers
with a label. The reward of an answer is beta * (logps - reference); NaN where the reference is not
known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mmft_core import NoOptions
from mmft_core.contracts import Metric, MetricContext, MetricValue

_UNKNOWN = (
    "undefined: the log-probabilities of the reference are stored only for the run's own val and "
    "test samples"
)


def rewards(predictions: Any, targets: Any) -> Tensor:
    """(B, S), NaN where they are not known."""
    found: Tensor = targets["beta"][:, None] * (predictions["logps"] - targets["reference"])
    return found


class OfBothSides(Metric):
    """Keeps a value of each answer, apart for chosen and rejected ones.

    Attributes:
        paired: whether each chosen one has its rejected one at the same place.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.chosen: list[float] = []
        self.rejected: list[float] = []
        self.paired = True

    def take(self, values: Tensor, desirable: Tensor) -> None:
        values = values.double().cpu()
        if values.shape[1] == 2:
            self.chosen += values[:, 0].tolist()
            self.rejected += values[:, 1].tolist()
            return
        self.paired, liked = False, desirable.cpu()
        self.chosen += values[liked, 0].tolist()
        self.rejected += values[~liked, 0].tolist()

    def state(self) -> Any:
        return self.chosen, self.rejected, self.paired

    def merge(self, state: Any) -> None:
        self.chosen, self.rejected = self.chosen + state[0], self.rejected + state[1]
        self.paired = self.paired and state[2]

    def means(self) -> dict[str, MetricValue]:
        return {"chosen": _mean(self.chosen), "rejected": _mean(self.rejected)}


class Rewards(OfBothSides):
    """Accuracy, margin, and the mean rewards of chosen and rejected answers."""

    def update(self, predictions: Any, targets: Any) -> None:
        self.take(rewards(predictions, targets), targets["desirable"])

    def compute(self) -> dict[str, MetricValue]:
        means = self.means()
        margin = _mean(self.chosen) - _mean(self.rejected)
        return {"accuracy": self._accuracy(), "margin": margin, **means}

    def remarks(self) -> Sequence[str]:
        return [_UNKNOWN] if any(map(math.isnan, (*self.chosen, *self.rejected))) else []

    def _accuracy(self) -> float:
        """The share of pairs in which the chosen answer has the higher reward.

        Of single answers it is the share of all pairs of a desirable and an undesirable one, the
        area under the ROC curve.
        """
        chosen, rejected = torch.tensor(self.chosen), torch.tensor(self.rejected)
        if not len(chosen) or not len(rejected) or chosen.isnan().any() or rejected.isnan().any():
            return math.nan
        if self.paired:
            return float((chosen > rejected).double().mean())
        below = torch.searchsorted(rejected.sort().values, chosen)
        return float(below.double().mean() / len(rejected))


class LogProbabilities(OfBothSides):
    """The mean log-probabilities of chosen and rejected answers, in nats."""

    def update(self, predictions: Any, targets: Any) -> None:
        self.take(predictions["logps"], targets["desirable"])

    def compute(self) -> dict[str, MetricValue]:
        return self.means()


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def build_rewards(options: NoOptions, context: MetricContext) -> Metric:
    """Rewards as TRL logs them: accuracies, margins, chosen, rejected."""
    return Rewards()


def build_logps(options: NoOptions, context: MetricContext) -> Metric:
    """Log-probabilities as TRL logs them."""
    return LogProbabilities()
