"""Figures of merit of one query, from the ranks (R,) of all its relevant items."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mmft_retrieval.ranking import Ints


def recall_at(k: int, ranks: Ints) -> float:
    """Whether a relevant item is among the first k (Jégou, Douze and Schmid, 2011)."""
    return float(ranks[0] <= k)


def reciprocal_rank(ranks: Ints) -> float:
    """One over the rank of the first relevant item (Voorhees, 1999)."""
    return float(1 / ranks[0])


def average_precision_at_r(ranks: Ints) -> float:
    """The mean of the precision at each of the first R ranks that holds a relevant item, and of 0
    for each that does not (Musgrave, Belongie and Lim, 2020)."""
    found = ranks[ranks <= len(ranks)]
    return float((np.arange(1, len(found) + 1) / found).sum() / len(ranks))


def ndcg(ranks: Ints) -> float:
    """Discounted cumulative gain over the best that could be (Järvelin and Kekäläinen, 2002).

    An item is worth 1 or 0, so the gain is the sum of the discounts 1 / log2(1 + rank).
    """
    return float((1 / np.log2(1 + ranks)).sum() / _best_gains(len(ranks)))


@lru_cache(maxsize=4096)
def _best_gains(relevant: int) -> float:
    return float((1 / np.log2(1 + np.arange(1, relevant + 1))).sum())
