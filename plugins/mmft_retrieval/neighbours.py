"""What a report shows of retrieval: queries with what was found for them."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any

from mmft_core.contracts import Batch, Example, Gallery, Related
from mmft_retrieval.metrics import Seen, joined, taken_in
from mmft_retrieval.ranking import Embedded

SHOWN = 5
"""So many neighbours of each query are shown."""

WRONG = "Wrong nearest neighbour, most similar first"
RIGHT = "Right nearest neighbour, most similar first"


@dataclass(order=True, frozen=True)
class _Nearest:
    """A query by the similarity of its nearest neighbour; of equals the earlier one is higher."""

    similarity: float
    order: int
    found: tuple[int, ...]
    similarities: tuple[float, ...]


class Neighbours(Gallery):
    """Keeps every embedding, and shows the queries whose nearest neighbours are most similar.

    Queries that there is nothing to find for are left out.
    """

    def __init__(self, size: int) -> None:
        """Args:
        size: how many queries are shown below each heading.
        """
        self.size = size
        self._seen: list[Seen] = []
        self._ids: list[str] = []

    def update(self, batch: Batch, predictions: Any, targets: Any) -> None:
        self._seen.append(taken_in(predictions, targets))
        self._ids += batch.ids

    def state(self) -> Any:
        return self._seen, self._ids

    def merge(self, state: Any) -> None:
        seen, ids = state
        self._seen = [*self._seen, *seen]
        self._ids = [*self._ids, *ids]

    def examples(self) -> dict[str, list[Example]]:
        if not self._seen:
            return {}
        embedded = joined(self._seen)
        return {
            heading: [self._example(embedded, nearest) for nearest in sorted(heap, reverse=True)]
            for heading, heap in self._nearest(embedded).items()
        }

    def _nearest(self, embedded: Embedded) -> dict[str, list[_Nearest]]:
        """The highest queries of each heading."""
        heaps: dict[str, list[_Nearest]] = {WRONG: [], RIGHT: []}
        others = len(embedded) - (embedded.queries is None)
        for start, block in embedded.blocks():
            top = block.topk(min(SHOWN, others))
            rows = zip(top.values.tolist(), top.indices.tolist(), strict=True)
            for query, (similarities, found) in enumerate(rows, start):
                if embedded.answerable[query]:
                    right = bool(embedded.groups[found[0]] == embedded.groups[query])
                    heap = heaps[RIGHT if right else WRONG]
                    heapq.heappush(
                        heap, _Nearest(similarities[0], -query, tuple(found), tuple(similarities))
                    )
                    if len(heap) > self.size:
                        heapq.heappop(heap)
        return heaps

    def _example(self, embedded: Embedded, nearest: _Nearest) -> Example:
        query = -nearest.order
        related = tuple(
            Related(
                id=self._ids[item],
                score=similarity,
                right=bool(embedded.groups[item] == embedded.groups[query]),
            )
            for item, similarity in zip(nearest.found, nearest.similarities, strict=True)
        )
        return Example(nearest.similarity, self._ids[query], {}, related)
