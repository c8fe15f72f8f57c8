"""The order in which an epoch reads its samples: random, and arranged for its batches.

The order is a function of seed and epoch, so a resumed training has the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np

from mmft_core.data.splits import Indices

POOL = 64
"""Forward passes that are filled from one random pool, sorted by size."""


class Arrangement(ABC):
    """Decides which samples of a random order share a forward pass."""

    @abstractmethod
    def arrange(
        self, order: Indices, cuts: Sequence[slice], random: np.random.Generator
    ) -> Indices:
        """Return the order rearranged.

        Args:
            order: (n,) a random permutation.
            cuts: where in the order each forward pass lies; together they cover it.
        """


class BySize(Arrangement):
    """Samples of similar size share a forward pass, so that little of it is padding.

    The order stays random: passes are filled from pools of random samples, and the passes of a
    pool come in random order.
    """

    def __init__(self, sizes: Sequence[float]) -> None:
        """Args:
        sizes: (n,) of each sample.
        """
        self.sizes = np.asarray(sizes)

    def arrange(
        self, order: Indices, cuts: Sequence[slice], random: np.random.Generator
    ) -> Indices:
        arranged = np.empty_like(order)
        for start in range(0, len(cuts), POOL):
            pool = cuts[start : start + POOL]
            members = order[pool[0].start : pool[-1].stop]
            members = members[np.argsort(self.sizes[members], kind="stable")]
            for cut in (pool[k] for k in random.permutation(len(pool))):
                length = cut.stop - cut.start
                arranged[cut], members = members[:length], members[length:]
        return arranged


class InGroups(Arrangement):
    """A forward pass holds groups of samples of one class, and as many classes as it can.

    Every pass takes the due share of each class, so that no class is left over in the end: a class
    with a third of the data gets a third of the pass; a class whose share is less than a group gets
    a group in some of the passes, drawn at random. A group is smaller only where its class or the
    pass ends.
    """

    def __init__(self, labels: Sequence[int], group_size: int) -> None:
        """Args:
        labels: (n,) the class of each sample.
        group_size: samples of one class that stand together.
        """
        self.labels, self.group_size = np.asarray(labels), group_size

    def arrange(
        self, order: Indices, cuts: Sequence[slice], random: np.random.Generator
    ) -> Indices:
        by_class = order[np.argsort(self.labels[order], kind="stable")]
        ends = np.flatnonzero(np.diff(self.labels[by_class], append=np.nan))
        sizes = np.diff(ends, prepend=-1)
        arranged = np.empty_like(order)
        for cut in cuts:
            place = cut.start
            while place < cut.stop:
                for k, size in self._groups(sizes, cut.stop - place, random):
                    end = ends[k] + 1 - (sizes[k] - size)
                    arranged[place : place + size] = by_class[end - size : end]
                    place, sizes[k] = place + size, sizes[k] - size
        return arranged

    def _groups(
        self, left: Indices, room: int, random: np.random.Generator
    ) -> Iterator[tuple[int, int]]:
        """Yield the class and the size of each group of a pass.

        Args:
            left: (classes,) samples left of each; the caller subtracts what is yielded.
            room: samples that the pass still takes.
        """
        # The due shares in whole groups, and the rest as remainders of the division.
        due, rest = np.divmod(left * room, self.group_size * left.sum())
        with np.errstate(divide="ignore"):
            # In this order classes are drawn by weight, each once (Efraimidis and Spirakis, 2006).
            drawn = np.argsort(random.exponential(size=len(left)) / rest, kind="stable")
        for k in (*np.repeat(np.arange(len(left)), due), *drawn):
            size = min(self.group_size, int(left[k]), room)
            if min(left[k], room) - size == 1:
                size += 1  # A sample that is alone has nothing to be compared with.
            if size:
                yield int(k), size
            room -= size
            if not room:
                return


def epoch_order(
    size: int,
    seed: int,
    epoch: int,
    cuts: Sequence[slice],
    arrangement: Arrangement | None = None,
) -> Indices:
    """The order of an epoch: (size,) a permutation.

    Args:
        cuts: where in it each forward pass lies.
    """
    random = np.random.default_rng((seed, epoch))
    order = random.permutation(size)
    return order if arrangement is None else arrangement.arrange(order, cuts, random)
