"""The quality of a FAISS index: what is known of it, its recall, and how far searches look."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import faiss
import numpy as np

from mmft_search.items import Vectors
from mmft_search.vectors import VectorStore

Kind: TypeAlias = Literal["flat", "hnsw", "ivf"]
Positions: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

KINDS: tuple[str, ...] = get_args(Kind)

TARGET_RECALL = 0.95
MEASURED_AT = 10
"""Recall is of the first ten."""

_PROBES = 200
"""Vectors that are searched for to measure recall."""

_TIE = 1e-6
"""Similarities that differ by less are equal as far as float32 can tell."""

SEED = 0


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of an index.

    Attributes:
        contents: the store's files that it was built from, with their lengths.
        bytes: of the index's file.
        digest: SHA-256 of that file.
        trained_on: how many vectors there were when cells were laid out.
        effort: how far a search looks: cells, or candidates along the graph; 0 for everything.
        recall: share of the truly first ten that are among the ten found.
        milliseconds: median, of one query on one thread.
    """

    kind: Kind
    contents: list[tuple[str, int]]
    bytes: int = 0
    digest: str = ""
    trained_on: int = 0
    effort: int = 0
    recall: float = 1.0
    milliseconds: float = 0.0


def search_exactly(store: VectorStore, queries: Vectors, number: int) -> tuple[Vectors, Positions]:
    """Compare queries (Q, D) with every vector of a store, without an index.

    Returns:
        similarities and positions as `Nearest.search` gives them.
    """
    best = np.empty((len(queries), 0), np.float32)
    where = np.empty((len(queries), 0), np.int64)
    start = 0
    for shard in store.shards:
        size = min(number, len(shard))
        near, rows = faiss.knn(queries, shard.vectors, size, metric=faiss.METRIC_INNER_PRODUCT)
        best, where = np.hstack([best, near]), np.hstack([where, rows + start])
        order = np.argsort(-best, axis=1, kind="stable")[:, :number]
        best = np.take_along_axis(best, order, 1)
        where = np.take_along_axis(where, order, 1)
        start += len(shard)
    return best, where


def measured(index: Any, facts: Facts, store: VectorStore) -> Facts:
    """Find the least effort that reaches the recall aimed at, and time it.

    Vectors of the store are the queries; each finds itself, which is one more to look for.
    """
    probes = sample(store, _PROBES)
    number = min(MEASURED_AT + 1, len(store))
    if facts.kind != "flat":
        truth, _ = search_exactly(store, probes, number)
        most = index.nlist if facts.kind == "ivf" else 4096
        effort = 1 if facts.kind == "ivf" else 16
        while True:
            facts = replace(facts, effort=effort)
            found, _ = index.search(probes, number, params=parameters(facts))
            facts = replace(facts, recall=round(_recall(truth, found), 4))
            if facts.recall >= TARGET_RECALL or effort >= most:
                break
            effort = min(2 * effort, most)
    return replace(facts, milliseconds=round(_milliseconds(index, facts, probes, number), 3))


def _recall(truth: Vectors, found: Vectors) -> float:
    """The share of the found vectors that are as similar as the least similar of the true ones.

    Args:
        truth, found: similarities (Q, k), the highest first. Which vectors they are does not
            matter: among equal ones, an exact search finds any of them, too.
    """
    return float(np.mean(found >= truth[:, -1:] - _TIE))


def _milliseconds(index: Any, facts: Facts, probes: Vectors, number: int) -> float:
    settings, seconds = parameters(facts), []
    for row in range(min(50, len(probes))):
        start = time.perf_counter()
        index.search(probes[row : row + 1], number, params=settings)
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds)


def parameters(facts: Facts) -> Any:
    if facts.kind == "ivf":
        return faiss.SearchParametersIVF(nprobe=facts.effort)
    if facts.kind == "hnsw":
        return faiss.SearchParametersHNSW(efSearch=facts.effort)
    return None


def sample(store: VectorStore, number: int) -> Vectors:
    """Some vectors (n, D), the same each time."""
    size = len(store)
    chosen = np.random.default_rng(SEED).choice(size, min(number, size), replace=False)
    parts = [
        shard.vectors[chosen[(chosen >= end - len(shard)) & (chosen < end)] - (end - len(shard))]
        for shard, end in zip(store.shards, store.ends.tolist(), strict=True)
    ]
    return np.ascontiguousarray(np.concatenate(parts))
