"""The retrieval metrics against plain independent computations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from mmft_core.contracts import MetricContext
from mmft_core.registry import NoOptions
from mmft_retrieval import metrics, ranking

BUILDERS = {
    "recall": metrics.build_retrieval_recall,
    "map-r": metrics.build_map_r,
    "ndcg": metrics.build_ndcg,
    "mrr": metrics.build_mrr,
}


def unit(count: int, width: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(count, width))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def judge(items, groups, queries=None, parts: int = 1) -> dict[str, float]:
    """All figures, fed in so many batches: {"recall/at-1": ...}."""
    figures = {}
    for name, build in BUILDERS.items():
        metric = build(NoOptions(), MetricContext())
        for chunk in np.array_split(np.arange(len(items)), parts):
            targets = {"group": torch.tensor(groups)[chunk]}
            if queries is not None:
                targets["query"] = torch.tensor(queries[chunk], dtype=torch.float32)
            metric.update(torch.tensor(items[chunk], dtype=torch.float32), targets)
        for part, value in metric.compute().items():
            figures[f"{name}/{part}" if part else name] = value
    return figures


def brute_force(items, groups, queries=None) -> dict[str, float]:
    """The figures by their definitions, a query at a time, as pytrec_eval walks a ranking."""
    rows: dict[str, list[float]] = {
        k: [] for k in ("recall/at-1", "recall/at-5", "recall/at-10", "map-r", "ndcg", "mrr")
    }
    for q in range(len(items)):
        pool = [i for i in range(len(items)) if queries is not None or i != q]
        scores = {i: float((items if queries is None else queries)[q] @ items[i]) for i in pool}
        ranking_ = sorted(pool, key=lambda i: -scores[i])
        hits = [int(groups[i] == groups[q]) for i in ranking_]
        total = sum(hits)
        if not total:
            continue
        for k in (1, 5, 10):
            rows[f"recall/at-{k}"].append(float(any(hits[:k])))
        precisions = [sum(hits[: k + 1]) / (k + 1) if hits[k] else 0.0 for k in range(total)]
        rows["map-r"].append(sum(precisions) / total)
        rows["mrr"].append(1 / (hits.index(1) + 1))
        true = np.array([[int(groups[i] == groups[q]) for i in pool]])
        rows["ndcg"].append(ndcg_score(true, [[scores[i] for i in pool]]))
    return {name: float(np.mean(values)) for name, values in rows.items()}


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("classes", [2, 7, 30])
def test_figures_are_those_of_brute_force(classes: int, pairs: bool) -> None:
    items, queries = unit(60, 6, 0), unit(60, 6, 1) if pairs else None
    groups = np.random.default_rng(2).integers(0, classes, 60)
    wanted, got = brute_force(items, groups, queries), judge(items, groups, queries, parts=4)
    assert {k: got[k] for k in wanted} == pytest.approx(wanted, abs=1e-5)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = np.random.default_rng(3).integers(0, 5, 50)
    whole = judge(unit(50, 6, 0), groups)
    monkeypatch.setattr(ranking, "BLOCK", 120)
    monkeypatch.setattr(metrics, "_LAST", {})
    assert judge(unit(50, 6, 0), groups) == pytest.approx(whole, abs=1e-6)


def test_a_sample_does_not_find_itself() -> None:
    items = np.eye(4)[[0, 0, 1, 1]]
    assert judge(items, np.array([0, 1, 0, 1]))["recall/at-1"] == 0
    assert judge(items, np.array([0, 0, 1, 1]))["recall/at-1"] == 1


def test_queries_without_anything_to_find_are_left_out_and_told_of() -> None:
    items = np.eye(5)[[0, 0, 1, 1, 2]]
    figures = judge(items, np.array([0, 0, 1, 1, 2]))
    assert figures["recall/at-1"] == figures["map-r"] == figures["ndcg"] == figures["mrr"] == 1
    assert figures["recall/left-out"] == pytest.approx(0.2)
    assert "recall/left-out" not in judge(items[:4], np.array([0, 0, 1, 1]))


def test_nothing_to_find_at_all_is_no_figure() -> None:
    figures = judge(np.eye(3), np.arange(3))
    assert all(math.isnan(figures[k]) for k in ("recall/at-1", "map-r", "ndcg", "mrr"))
    assert all(
        math.isnan(v) for v in metrics.build_mrr(NoOptions(), MetricContext()).compute().values()
    )


def test_ties_count_against_and_in_any_order_alike() -> None:
    items, groups = np.tile(unit(1, 16, 0), (40, 1)), np.arange(40) % 4
    figures = judge(items, groups)
    assert figures["recall/at-10"] == 0, "embeddings that are all alike find nothing"
    assert figures["mrr"] == pytest.approx(1 / 31), "after the 30 of other classes"
    order = np.random.default_rng(0).permutation(40)
    assert judge(items[order], groups[order]) == figures


@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_the_order_of_samples_changes_nothing(seed: int, count: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    items, groups = unit(count, 4, seed), random.integers(0, classes, count)
    order = random.permutation(count)
    first, second = judge(items, groups), judge(items[order], groups[order])
    assert first == pytest.approx(second, abs=1e-6, nan_ok=True)


def test_states_merge() -> None:
    items, groups = torch.tensor(unit(30, 6, 0)).float(), torch.arange(30) % 3
    for build in BUILDERS.values():
        whole, *parts = (build(NoOptions(), MetricContext()) for _ in range(3))
        whole.update(items, {"group": groups})
        for part, rows in zip(parts, (slice(0, 30, 2), slice(1, 30, 2)), strict=True):
            part.update(items[rows], {"group": groups[rows]})
        parts[0].merge(parts[1].state())
        assert parts[0].compute() == pytest.approx(whole.compute(), abs=1e-6)
