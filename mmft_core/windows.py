"""Which samples are read when: each optimizer step's, and an evaluation's.

The order is a function of the seed and the step, so that a resumed training starts at any step
without replaying data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from mmft_core.errors import DataError
from mmft_core.order import Arrangement, Indices, epoch_order

Key: TypeAlias = tuple[int, int]
"""(epoch, index): says which sample, and which augmentation of it."""

EVALUATION = 0  # the epoch of keys that are not for training


class Windows:
    """Which samples each optimizer step sees.

    An epoch's random order is cut into windows of `batch_size * accumulate` samples, one window
    for each step, and a window into forward passes. The cuts are even, so that no epoch ends on a
    tiny batch and none of its samples is left out. Of each forward pass, process `rank` of `world`
    takes every world-th sample. An arrangement says which samples share a forward pass.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        accumulate: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        arrangement: Arrangement | None = None,
    ) -> None:
        if size == 0:
            raise DataError("The training split is empty.")
        self.arrangement = arrangement
        self._orders: dict[int, Indices] = {}
        self.size, self.seed, self.rank, self.world = size, seed, rank, world
        self.batch_size = batch_size
        self.steps_per_epoch = -(-size // (batch_size * accumulate))

    def epoch_of(self, step: int) -> int:
        return step // self.steps_per_epoch

    def passes(self, step: int) -> int:
        """How many forward passes a step takes."""
        return len(self._cuts(step % self.steps_per_epoch))

    def window_size(self, step: int) -> int:
        """How many samples a step sees, on all processes together."""
        window = _cut(self.size, self.steps_per_epoch, step % self.steps_per_epoch)
        return int(window.stop - window.start)

    def micro_batches(self, step: int) -> list[list[Key]]:
        """This process's share of each forward pass of a step, which counts from 0."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = self._order(epoch)
        return [
            [(epoch, int(i)) for i in order[cut][self.rank :: self.world]]
            for cut in self._cuts(position)
        ]

    def _cuts(self, position: int) -> list[slice]:
        """Where in an epoch's order the forward passes of its step at `position` lie."""
        window = _cut(self.size, self.steps_per_epoch, position)
        length = window.stop - window.start
        passes = -(-length // self.batch_size)
        cuts = (_cut(length, passes, k) for k in range(passes))
        return [slice(window.start + c.start, window.start + c.stop) for c in cuts]

    def _order(self, epoch: int) -> Indices:
        if epoch not in self._orders:
            cuts = [cut for p in range(self.steps_per_epoch) for cut in self._cuts(p)]
            order = epoch_order(self.size, self.seed, epoch, cuts, self.arrangement)
            self._orders = {epoch: order}
        return self._orders[epoch]


class TrainingKeys:
    """The batch sampler of a whole training, from its first step to its last.

    One pass over all epochs keeps worker processes busy across the ends of epochs.
    """

    def __init__(self, windows: Windows, first_step: int, last_step: int) -> None:
        self.windows, self.first_step, self.last_step = windows, first_step, last_step

    def __iter__(self) -> Iterator[list[Key]]:
        for step in range(self.first_step, self.last_step):
            yield from self.windows.micro_batches(step)


class EvaluationKeys:
    """The batch sampler of an evaluation: every index once, in the given order."""

    def __init__(self, indices: Sequence[int] | Indices, cuts: Iterable[slice]) -> None:
        """Args:
        cuts: where in the order each batch lies.
        """
        self.indices, self.cuts = indices, list(cuts)

    def __iter__(self) -> Iterator[list[Key]]:
        for cut in self.cuts:
            yield [(EVALUATION, int(i)) for i in self.indices[cut]]


def _cut(size: int, pieces: int, k: int) -> slice:
    """The k-th of `pieces` even cuts of `size` things."""
    return slice(size * k // pieces, size * (k + 1) // pieces)
