"""Batch samplers: which samples are read when, in training and in evaluation.

The order is a function of the seed and the step, so that a resumed training starts at any step
without replaying data.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from mmft_core.data.splits import Indices
from mmft_core.errors import DataError
from mmft_core.loading.grouping import Arrangement, epoch_order

Key: TypeAlias = tuple[int, int]
"""(epoch, index): says which sample, and which augmentation of it."""

EVALUATION = 0  # the epoch of keys that are not for training


class BatchSampler(ABC):
    """Which samples each optimizer step sees, in one forward pass or several.

    Each epoch sees every sample once, in as many steps as any other. Of each forward pass, process
    `rank` of `world` takes every world-th sample.
    """

    steps_per_epoch: int

    def __init__(self, rank: int, world: int) -> None:
        self.rank, self.world = rank, world
        self._epochs: dict[int, list[list[Indices]]] = {}

    @abstractmethod
    def plan(self, epoch: int) -> list[list[Indices]]:
        """The samples of each forward pass of each step, the same whenever it is asked for."""

    @abstractmethod
    def smallest_pass(self) -> int:
        """The fewest samples that a forward pass has, on all processes together."""

    def batches(self, first_step: int, last_step: int) -> Iterator[list[Key]]:
        """This process's batches of the steps from `first_step` until before `last_step`.

        For a DataLoader: one pass over all epochs keeps worker processes busy across their ends.
        """
        for step in range(first_step, last_step):
            yield from self.micro_batches(step)

    def micro_batches(self, step: int) -> list[list[Key]]:
        """This process's share of each forward pass of a step, which counts from 0."""
        epoch = self.epoch_of(step)
        return [
            [(epoch, int(i)) for i in members[self.rank :: self.world]]
            for members in self._step(step)
        ]

    def epoch_of(self, step: int) -> int:
        return step // self.steps_per_epoch

    def passes(self, step: int) -> int:
        """How many forward passes a step takes."""
        return len(self._step(step))

    def samples(self, step: int) -> int:
        """How many samples a step sees, on all processes together."""
        return sum(map(len, self._step(step)))

    def _step(self, step: int) -> list[Indices]:
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch not in self._epochs:
            # The loader is ahead, in the next epoch, while the last steps of one are taken.
            kept = {k: plan for k, plan in self._epochs.items() if k == epoch - 1}
            self._epochs = kept | {epoch: self.plan(epoch)}
        return self._epochs[epoch][position]


class SampleBatchSampler(BatchSampler):
    """Batches of a number of samples.

    An epoch's random order is cut into steps of `batch_size * accumulation_steps` samples, and a
    step into forward passes. The cuts are even, so that no epoch ends on a tiny batch and none of
    its samples is left out. An arrangement says which samples share a forward pass.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        accumulation_steps: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        arrangement: Arrangement | None = None,
    ) -> None:
        if size == 0:
            raise DataError("The training split is empty.")
        super().__init__(rank, world)
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.arrangement = arrangement
        self.steps_per_epoch = -(-size // (batch_size * accumulation_steps))

    def smallest_pass(self) -> int:
        steps = range(self.steps_per_epoch)
        return min(int(cut.stop - cut.start) for step in steps for cut in self._cuts(step))

    def plan(self, epoch: int) -> list[list[Indices]]:
        steps = [self._cuts(position) for position in range(self.steps_per_epoch)]
        cuts = [cut for step in steps for cut in step]
        order = epoch_order(self.size, self.seed, epoch, cuts, self.arrangement)
        return [[order[cut] for cut in step] for step in steps]

    def _cuts(self, position: int) -> list[slice]:
        """Where in an epoch's order the forward passes of its step at `position` lie."""
        step = _cut(self.size, self.steps_per_epoch, position)
        length = step.stop - step.start
        passes = -(-length // self.batch_size)
        cuts = (_cut(length, passes, k) for k in range(passes))
        return [slice(step.start + c.start, step.start + c.stop) for c in cuts]


def evaluation_batches(order: Indices, cuts: Iterable[slice]) -> Iterator[list[Key]]:
    """The batches of an evaluation: samples in the given order, cut into batches."""
    for cut in cuts:
        yield [(EVALUATION, int(index)) for index in order[cut]]


def _cut(size: int, pieces: int, k: int) -> slice:
    """The k-th of `pieces` even cuts of `size` things."""
    return slice(size * k // pieces, size * (k + 1) // pieces)
