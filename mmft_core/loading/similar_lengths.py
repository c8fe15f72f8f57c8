"""Batches for prediction: samples of similar length, but nearly in order.

If all samples were sorted, the first prediction would have to wait for the last sample. So they are
sorted within windows of a few batches, which are measured one after the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np

from mmft_core.data.splits import Indices, Subset
from mmft_core.loading.batch_sampler import EVALUATION, Key
from mmft_core.loading.lengths import lengths_told
from mmft_core.loading.prepared import PreparedSplit

T = TypeVar("T")

_WINDOW = 16
"""Batches that are sorted together."""


class WindowedBatchSampler:
    """Yields every sample of a split once, in batches of similar length if processors tell lengths.

    A split that fits into one batch stays in order. Iterate it in the process that loads.
    """

    def __init__(self, data: PreparedSplit, batch_size: int) -> None:
        self.data, self.batch_size = data, batch_size
        self._given: deque[int] = deque()

    def __iter__(self) -> Iterator[list[Key]]:
        step, total = self.batch_size * _WINDOW, len(self.data)
        for start in range(0, total, step):
            order = self._sorted(np.arange(start, min(start + step, total)))
            for first in range(0, len(order), self.batch_size):
                batch = order[first : first + self.batch_size]
                self._given.extend(batch)
                yield [(EVALUATION, index) for index in batch]

    def _sorted(self, window: Indices) -> list[int]:
        lengths = None
        if len(window) > self.batch_size:
            split = Subset(self.data.split, window)
            lengths = lengths_told(split, self.data.processors, self.data.codec)
        if lengths is None:
            return [int(index) for index in window]
        return [int(index) for index in window[np.argsort(-np.asarray(lengths), kind="stable")]]

    def in_order(self, results: Iterable[T]) -> Iterator[T]:
        """Reorder the results of samples from the order of the batches into that of the split."""
        waiting: dict[int, T] = {}
        due = 0
        for result in results:
            waiting[self._given.popleft()] = result
            while due in waiting:
                yield waiting.pop(due)
                due += 1
