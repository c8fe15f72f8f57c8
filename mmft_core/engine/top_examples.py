"""The samples that a report shows, ranked batch by batch with the task's `rank`."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from typing import Any

from mmft_core.contracts import Batch, Example, Gallery, Task
from mmft_core.contracts.returned import decoded, rankings

ALTERNATIVES = 3
"""Alternatives that are shown of a prediction."""


class Highest:
    """The examples with the highest scores, in bounded memory.

    Attributes:
        examples: in no order.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.examples: list[Example] = []

    def takes(self, score: float) -> bool:
        """Whether an example with that score would be kept."""
        return len(self.examples) < self.size or score > self.examples[0].score

    def add(self, example: Example) -> None:
        push = heapq.heappush if len(self.examples) < self.size else heapq.heappushpop
        push(self.examples, example)

    def sorted(self) -> list[Example]:
        """The examples, highest score first."""
        return sorted(self.examples, reverse=True)


class RankedGallery(Gallery):
    """Keeps the highest samples of each of the task's rankings, in bounded memory."""

    def __init__(self, task: Task, size: int) -> None:
        self.task, self.size = task, size
        self._kept: dict[str, Highest] = {}

    def update(self, batch: Batch, predictions: Any, targets: Any) -> None:
        records: list[dict[str, Any]] | None = None
        for name, scores in rankings(self.task, predictions, targets, len(batch)).items():
            kept = self._of(name)
            for i, score in enumerate(scores.tolist()):
                if score == -math.inf or not kept.takes(score):
                    continue
                records = records or decoded(self.task, predictions, len(batch), ALTERNATIVES)
                kept.add(Example(score, batch.ids[i], records[i]))

    def state(self) -> Mapping[str, list[Example]]:
        return {name: kept.examples for name, kept in self._kept.items()}

    def merge(self, state: Mapping[str, list[Example]]) -> None:
        for name, examples in state.items():
            for example in examples:
                self._of(name).add(example)

    def examples(self) -> dict[str, list[Example]]:
        return {name: kept.sorted() for name, kept in self._kept.items()}

    def _of(self, name: str) -> Highest:
        return self._kept.setdefault(name, Highest(self.size))
