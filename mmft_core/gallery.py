"""The samples that a report shows, as far as the task's `rank` can pick them batch by batch."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from typing import Any

from mmft_core.contracts import Batch, Example, Gallery, Task

ALTERNATIVES = 3
"""So many alternatives of a prediction are shown."""


class RankedGallery(Gallery):
    """Keeps the highest samples of each of the task's rankings, in bounded memory."""

    def __init__(self, task: Task, size: int) -> None:
        self.task, self.size = task, size
        self._heaps: dict[str, list[Example]] = {}

    def update(self, batch: Batch, predictions: Any, targets: Any) -> None:
        records: list[dict[str, Any]] | None = None
        for name, scores in self.task.rank(predictions, targets).items():
            heap = self._heaps.setdefault(name, [])
            for i, score in enumerate(scores.tolist()):
                if score == -math.inf or (len(heap) >= self.size and score <= heap[0].score):
                    continue
                records = records or self.task.decode(predictions, top_k=ALTERNATIVES)
                self._push(heap, Example(score, batch.ids[i], records[i]))

    def state(self) -> Mapping[str, list[Example]]:
        return self._heaps

    def merge(self, state: Mapping[str, list[Example]]) -> None:
        for name, examples in state.items():
            for example in examples:
                self._push(self._heaps.setdefault(name, []), example)

    def examples(self) -> dict[str, list[Example]]:
        return {name: sorted(heap, reverse=True) for name, heap in self._heaps.items()}

    def _push(self, heap: list[Example], example: Example) -> None:
        (heapq.heappush if len(heap) < self.size else heapq.heappushpop)(heap, example)
