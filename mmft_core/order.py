"""The order in which an epoch reads its samples: random, and arranged for its batches.

Orders are functions of seed and epoch, so that a resumed training has them again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

Indices: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

POOL = 64
"""So many forward passes are filled from one random pool, sorted by size."""


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
    """Samples of like sizes share a forward pass, so that little of it is padding.

    The order stays random: passes are filled from pools of random samples, and the passes of a
    pool come in random order.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
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
    """Classes come in groups of samples, and a forward pass holds groups of different classes.

    What is left of a class when its groups are made up forms a smaller one.
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
        starts = np.flatnonzero(np.diff(self.labels[by_class])) + 1
        # Rounds: in each, every class that has any left gives one group. So groups of one class
        # are as far apart as they can be.
        rounds: list[tuple[float, Indices]] = []
        for members in np.split(by_class, starts):
            groups = [
                members[i : i + self.group_size] for i in range(0, len(members), self.group_size)
            ]
            offset = random.random()
            rounds += [((k + offset) / len(groups), group) for k, group in enumerate(groups)]
        rounds.sort(key=lambda pair: pair[0])
        return np.concatenate([group for _, group in rounds])


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
