"""One fault each, on top of the sound metric."""

from __future__ import annotations

import math

import torch
from sound_parts import Hits


def NotAMetric(options, context):  # noqa: N802
    return lambda predictions, targets: 0.0


class TensorFigure(Hits):
    def compute(self):
        return {"": torch.tensor(0.5)}


class InfiniteFigure(Hits):
    def compute(self):
        return {"": [1.0, math.nan, math.inf]}


class NoFigure(Hits):
    def compute(self):
        return {}


class AveragesMeans(Hits):
    """Means of parts of different sizes are averaged."""

    def merge(self, state):
        mine, other = self.right / max(1, self.all), state[0] / max(1, state[1])
        self.right, self.all = (mine + other) / 2, 1


class DropsTheOther(Hits):
    def merge(self, state):
        pass


class UnpicklableState(Hits):
    def state(self):
        return lambda: (self.right, self.all)


class ConsumesItsState(Hits):
    def compute(self):
        result = super().compute()
        self.reset()
        return result


class Remembers(Hits):
    def __init__(self, options, context) -> None:
        self.right = self.all = 0

    def reset(self):
        pass
