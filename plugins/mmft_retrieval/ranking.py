"""Exact ranking of items by their similarity to queries, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.floating[Any]]]
Bools: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
Ints: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

BLOCK = 1 << 24
"""So many similarities are held at a time, in 64 MB."""

TIE = 1e-6
"""Similarities that differ by less are equal as far as float32 can tell."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Embedded:
    """What queries are answered from.

    Attributes:
        items: (N, D) float32 on the CPU, of length one.
        groups: (N,) int64; items of a query's group are relevant to it.
        queries: (N, D) float32, in the order of the items; None where the items are the queries,
            each of which then looks for others than itself.
    """

    items: Tensor
    groups: Tensor
    queries: Tensor | None = None

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def answerable(self) -> Bools:
        """(N,) whether there is anything relevant to find for each query."""
        if self.queries is not None:
            return np.ones(len(self), dtype=np.bool_)
        _, place, sizes = np.unique(self.groups.numpy(), return_inverse=True, return_counts=True)
        found: Bools = sizes[place] > 1
        return found

    def blocks(self) -> Iterator[tuple[int, Tensor]]:
        """Yield similarities (b, N) block by block, with the index of the first query of each.

        Where items are the queries, each one's similarity with itself is -inf.
        """
        rows = max(1, BLOCK // max(1, len(self)))
        queries = self.items if self.queries is None else self.queries
        for start in range(0, len(self), rows):
            block = queries[start : start + rows] @ self.items.T
            if self.queries is None:
                block.diagonal(start).fill_(-torch.inf)
            yield start, block


def ranks_of_relevant(similarities: Floats, relevant: Bools) -> Ints:
    """The ranks (R,), from 1 and ascending, of a query's relevant items.

    Ties count against them: as many irrelevant items as are equally similar come before. So the
    ranks depend on no order, and embeddings that are all alike find nothing.

    Args:
        similarities: (N,) of the query with each item.
        relevant: (N,)
    """
    # Sorting numbers alone and looking places up is many times faster than sorting indices.
    found = np.sort(similarities[relevant])[::-1] - similarities.dtype.type(TIE)
    others = np.sort(similarities[~relevant])
    ahead = len(others) - np.searchsorted(others, found, side="left")
    ranks: Ints = ahead + np.arange(1, len(found) + 1)
    return ranks


def relevant_ranks(embedded: Embedded) -> Iterator[Ints]:
    """Yield the ranks of the relevant items of each query that has any."""
    groups = embedded.groups.numpy()
    for start, block in embedded.blocks():
        for query, similarities in enumerate(block.numpy(), start):
            if embedded.answerable[query]:
                relevant = groups == groups[query]
                if embedded.queries is None:
                    relevant[query] = False
                yield ranks_of_relevant(similarities, relevant)
