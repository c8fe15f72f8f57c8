"""Batches with a limited total size, padding included, rather than a number of samples.

Samples of similar size form buckets, and each batch of a bucket holds as many as fit. The data
determine the buckets, so every epoch has the same number of batches; which samples share a batch is
random.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mmft_core.data.splits import Indices
from mmft_core.errors import ConfigError, DataError
from mmft_core.loading.batch_sampler import BatchSampler

Sizes = np.ndarray[Any, np.dtype[np.float64]]

WIDEST = 1.15
"""The largest ratio of sizes within a bucket, which bounds the padding."""

LEAST = 8
"""The fewest samples of a bucket, so that outliers do not train alone."""


class TokenBatchSampler(BatchSampler):
    """Batches with a fixed total size, such as of tokens or seconds."""

    def __init__(
        self,
        sizes: Sequence[float],
        total: float,
        accumulation_steps: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """Args:
        sizes: (n,) of each sample.
        total: size of a forward pass on all processes together: that of its largest sample times
            their number. A sample that is larger has a pass of its own.
        """
        if not len(sizes):
            raise DataError("The training split is empty.")
        super().__init__(rank, world)
        self.sizes, self.total = np.asarray(sizes, dtype=np.float64), total
        self.accumulation_steps, self.seed = accumulation_steps, seed
        self.buckets = list(_buckets(self.sizes, max(LEAST, world)))
        self._pass_counts = [self._count(bucket) for bucket in self.buckets]
        self.steps_per_epoch = -(-sum(self._pass_counts) // accumulation_steps)

    def smallest_pass(self) -> int:
        pairs = zip(self.buckets, self._pass_counts, strict=True)
        return min(len(bucket) // count for bucket, count in pairs)

    def _count(self, bucket: Indices) -> int:
        """How many passes a bucket takes, with a sample for each process at least."""
        most = self.total / max(self.sizes[bucket].max(), 1e-9)  # Which may be infinite.
        fitting = max(self.world, int(min(most, len(bucket))))
        return max(1, min(-(-len(bucket) // fitting), len(bucket) // self.world))

    def plan(self, epoch: int) -> list[list[Indices]]:
        """An epoch's passes in random order, grouped into steps."""
        random = np.random.default_rng((self.seed, epoch))
        passes = [
            part
            for bucket, count in zip(self.buckets, self._pass_counts, strict=True)
            for part in np.array_split(random.permutation(bucket), count)
        ]
        shuffled = [passes[k] for k in random.permutation(len(passes))]
        return [
            shuffled[start : start + self.accumulation_steps]
            for start in range(0, len(shuffled), self.accumulation_steps)
        ]


def _buckets(sizes: Sizes, least: int) -> Iterator[Indices]:
    """Divide samples into runs of similar sizes, each of at least `least` samples if possible."""
    order = np.argsort(sizes, kind="stable")
    bounds = [0]
    for place, size in enumerate(sizes[order].tolist()):
        if size > WIDEST * sizes[order[bounds[-1]]] and place - bounds[-1] >= least:
            bounds.append(place)
    if len(bounds) > 1 and len(sizes) - bounds[-1] < least:
        bounds.pop()
    yield from np.split(order, bounds[1:])


def pack(sizes: Sequence[float] | Sizes, total: float, most: int | None = None) -> Iterator[slice]:
    """Cut samples, in their order, into batches that hold as many as fit.

    Args:
        total: size of a batch: that of its largest sample times their number.
        most: samples of a batch; None for any number.
    """
    start, largest = 0, 0.0
    for place, size in enumerate(sizes):
        widened = max(largest, float(size))
        count = place - start + 1
        if count > 1 and (widened * count > total or (most is not None and count > most)):
            yield slice(start, place)
            start, widened = place, float(size)
        largest = widened
    if start < len(sizes):
        yield slice(start, len(sizes))


def check_sizes(sizes: Sequence[float] | None, group_size: int) -> Sequence[float]:
    """The sizes of the training data, if batches can be formed by them.

    Raises:
        ConfigError: they have none, or the task wants samples of a class together.
    """
    if sizes is None:
        raise ConfigError(
            "engine.batch_total is set, but the samples of this data set have no sizes.",
            hint="Give --batch-size instead.",
        )
    if group_size > 1:
        raise ConfigError(
            "engine.batch_total is set, but this task groups its batches by class.",
            hint="Give --batch-size instead.",
        )
    return sizes
