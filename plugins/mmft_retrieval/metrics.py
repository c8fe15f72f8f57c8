"""The retrieval metrics: exact, over all embeddings that were seen.

Predictions are embeddings (B, D) of length one; targets are {"group": (B,)}, and {"query": (B, D)}
where items are not their own queries. A query without any relevant item is left out of the mean.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from mmft_core import NoOptions
from mmft_core.contracts import Metric, MetricContext, MetricValue
from mmft_retrieval import figures
from mmft_retrieval.ranking import Embedded, Ints, relevant_ranks

Figure = Callable[[Ints], float]
Seen: TypeAlias = tuple[Tensor, Tensor, Tensor | None]
"""What a batch brings: items (B, D), groups (B,), queries (B, D); float32 on the CPU."""

_FIGURES: Mapping[str, Figure] = {
    **{f"at-{k}": partial(figures.recall_at, k) for k in (1, 5, 10)},
    "map-r": figures.average_precision_at_r,
    "ndcg": figures.ndcg,
    "mrr": figures.reciprocal_rank,
}

LEFT_OUT = "left-out"
"""The share of queries that there is nothing to find for; told where there are such."""


class RetrievalMetric(Metric):
    """Keeps every embedding and ranks them in the end."""

    def __init__(self, parts: Mapping[str, str]) -> None:
        """Args:
        parts: of the result -> the figure that it is.
        """
        self.parts = dict(parts)
        self.reset()

    def reset(self) -> None:
        self._seen: list[Seen] = []

    def update(self, predictions: Any, targets: Any) -> None:
        self._seen.append(taken_in(predictions, targets))

    def compute(self) -> dict[str, MetricValue]:
        means = self._found()
        values: dict[str, MetricValue] = {
            part: means.get(figure, math.nan) for part, figure in self.parts.items()
        }
        if values.get(LEFT_OUT) == 0:
            del values[LEFT_OUT]
        return values

    def remarks(self) -> Sequence[str]:
        share = self._found().get(LEFT_OUT, 1.0)
        if share == 1:
            return ("undefined, because no query has a relevant item",)
        return (
            (f"without {share:.1%} of the queries, which have no relevant item",) if share else ()
        )

    def _found(self) -> Mapping[str, float]:
        return _means(joined(self._seen)) if self._seen else {}

    def state(self) -> Any:
        return list(self._seen)

    def merge(self, state: Any) -> None:
        self._seen += state


def taken_in(predictions: Tensor, targets: Mapping[str, Tensor]) -> Seen:
    """What is kept of a batch's predictions and targets."""
    query = targets.get("query")
    return (
        predictions.detach().float().cpu(),
        targets["group"].cpu(),
        None if query is None else query.detach().float().cpu(),
    )


def joined(seen: Sequence[Seen]) -> Embedded:
    """Join batches."""
    items, groups, queries = zip(*seen, strict=True)
    both = [q for q in queries if q is not None]
    return Embedded(
        items=torch.cat(items),
        groups=torch.cat(groups),
        queries=torch.cat(both) if both else None,
    )


_LAST: dict[bytes, dict[str, float]] = {}
"""The means of the last embeddings, by their digest: four metrics rank the same ones in turn."""


def _means(embedded: Embedded) -> dict[str, float]:
    """The mean of every figure, and the share of queries that were left out."""
    digest = hashlib.blake2b()
    for tensor in (embedded.items, embedded.groups, embedded.queries):
        digest.update(b"" if tensor is None else tensor.contiguous().numpy().data)
    key = digest.digest()
    if key not in _LAST:
        sums = dict.fromkeys(_FIGURES, 0.0)
        queries = 0
        for queries, ranks in enumerate(relevant_ranks(embedded), start=1):  # noqa: B007
            for name, figure in _FIGURES.items():
                sums[name] += figure(ranks)
        means = {name: total / queries if queries else math.nan for name, total in sums.items()}
        _LAST.clear()
        _LAST[key] = {**means, LEFT_OUT: 1 - queries / len(embedded)}
    return _LAST[key]


def build_retrieval_recall(options: NoOptions, context: MetricContext) -> Metric:
    """Share of queries with a relevant item among the first 1, 5 and 10.

    Where there are queries that nothing relevant exists for, "left-out" is the share of these,
    which none of the retrieval metrics counts.
    """
    return RetrievalMetric({name: name for name in ("at-1", "at-5", "at-10", LEFT_OUT)})


class PairRecall(Metric):
    """Recall between two modalities, each way and on average.

    Predictions are embeddings (B, D) by modality, targets {"group": (B,)}.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._seen: dict[tuple[str, str], list[Seen]] = {}

    def update(self, predictions: Any, targets: Any) -> None:
        first, second = predictions
        for query, item in ((first, second), (second, first)):
            both = {"group": targets["group"], "query": predictions[query]}
            self._seen.setdefault((query, item), []).append(taken_in(predictions[item], both))

    def compute(self) -> dict[str, MetricValue]:
        ways = {f"{q}-to-{i}": _means(joined(seen)) for (q, i), seen in self._seen.items()}
        parts = [f"at-{k}" for k in (1, 5, 10)]
        means: dict[str, MetricValue] = {
            part: sum(way[part] for way in ways.values()) / len(ways) if ways else math.nan
            for part in parts
        }
        return means | {f"{name}-{part}": way[part] for name, way in ways.items() for part in parts}

    def state(self) -> Any:
        return dict(self._seen)

    def merge(self, state: Any) -> None:
        for way, seen in state.items():
            self._seen.setdefault(way, []).extend(seen)


def build_pair_recall(options: NoOptions, context: MetricContext) -> Metric:
    """Share of samples that find their partner of the other modality among the first 1, 5, 10."""
    return PairRecall()


def build_map_r(options: NoOptions, context: MetricContext) -> Metric:
    """Mean average precision at R."""
    return RetrievalMetric({"": "map-r"})


def build_ndcg(options: NoOptions, context: MetricContext) -> Metric:
    """Normalised discounted cumulative gain."""
    return RetrievalMetric({"": "ndcg"})


def build_mrr(options: NoOptions, context: MetricContext) -> Metric:
    """Mean reciprocal rank."""
    return RetrievalMetric({"": "mrr"})
