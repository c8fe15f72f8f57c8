"""What is undefined on some data: regression, retrieval, texts, speech."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score

from mmft_core import MetricSpec, discover
from mmft_core.contracts import Metric, MetricContext


def metric(name: str) -> Metric:
    component = discover().get(MetricSpec, name)
    return component.build(component.options_type()(), MetricContext())


def over(name: str, *batches: tuple[Any, Any]) -> Metric:
    made = metric(name)
    for predictions, targets in batches:
        made.update(predictions, targets)
    return made


@pytest.mark.parametrize("mean, spread", [(0.0, 1.0), (1e6, 2.0), (0.0, 1e-4), (-273.0, 1e-2)])
def test_r2_is_scikit_learns_at_any_scale(mean: float, spread: float) -> None:
    random = np.random.default_rng(0)
    targets = torch.tensor(mean + spread * random.normal(size=90), dtype=torch.float32)
    found = targets + torch.tensor(spread * random.normal(size=90) / 2, dtype=torch.float32)
    merged = over("r2", (found[:20], targets[:20]), (found[20:21], targets[20:21]))
    merged.merge(over("r2", (found[21:], targets[21:])).state())
    expected = r2_score(targets.double(), found.double())
    assert merged.compute()[""] == pytest.approx(expected, rel=1e-9) and not merged.remarks()


@pytest.mark.parametrize(
    "targets, reason",
    [
        ([3.5], "there are fewer than two samples"),
        ([0.1] * 7, "all targets are 0.1"),
        ([-8.0, -8.0], "all targets are -8"),
    ],
)
def test_r2_needs_targets_that_differ(targets: list[float], reason: str) -> None:
    wanted = torch.tensor(targets)
    for error in (0.0, 1.0):  # Neither 1 for a perfect model nor 0 for others.
        made = over("r2", *((row[None] + error, row[None]) for row in wanted))
        assert math.isnan(made.compute()[""])
        assert made.remarks() == (f"undefined, because {reason}",)
    assert over("mae", (wanted + 1, wanted)).compute()[""] == pytest.approx(1.0)


def test_retrieval_without_anything_to_find() -> None:
    items = torch.nn.functional.normalize(torch.randn(4, 8, generator=torch.Generator()), dim=1)
    alone = {"group": torch.arange(4)}
    for name in ("retrieval-recall", "map-r", "ndcg", "mrr"):
        made = over(name, (items, alone))
        values = [v for k, v in made.compute().items() if k != "left-out"]
        assert all(map(math.isnan, values)), name
        assert made.remarks() == ("undefined, because no query has a relevant item",)
    some = over("mrr", (items, {"group": torch.tensor([0, 0, 1, 2])}))
    assert math.isfinite(some.compute()[""])
    assert some.remarks() == ("without 50.0% of the queries, which have no relevant item",)
    assert math.isnan(metric("pair-recall").compute()["at-1"])


def test_rouge_leaves_out_references_without_words() -> None:
    references = ["the cat sat", "...", "mat", ""]
    made = over("rouge", (references, references))
    assert made.compute() == {"1": 1.0, "2": 1.0, "l": 1.0}, "each is its own summary"
    assert made.remarks() == (
        "1 and l are without 2 of 4 references, which do not have a word",
        "2 is without 3 of 4 references, which do not have two words",
    )
    empty = over("rouge", (["a cat"], ["?!"]))
    assert all(math.isnan(v) for v in empty.compute().values())
    assert "2 is undefined, because no reference has two words" in empty.remarks()


@pytest.mark.parametrize(
    "name, short, reason", [("bleu", "a cat", "4 tokens"), ("chrf", "", "cha")]
)
def test_corpus_scores_of_references_that_hold_too_little(
    name: str, short: str, reason: str
) -> None:
    made = over(name, ([short or "x"] * 3, [short] * 3))
    assert math.isnan(made.compute()[""]) and reason in made.remarks()[0]
    made.merge(over(name, (["a cat sat on it"], ["a cat sat on it"])).state())
    assert math.isfinite(made.compute()[""]) and not made.remarks()


def test_perplexity_of_nothing_and_beyond_numbers() -> None:
    assert metric("perplexity").remarks() == ("undefined, because there are no tokens to predict",)
    huge = over("perplexity", (torch.tensor([5000.0]), torch.tensor([2])))
    assert huge.compute()[""] == math.inf and "exp(2500)" in huge.remarks()[0]


def test_error_rates_of_empty_references() -> None:
    silence = ([{"text": "well"}], {"text": [""]})
    for name, unit in (("wer", "words"), ("cer", "characters")):
        made = over(name, silence)
        assert all(math.isnan(v) for v in made.compute().values())
        assert made.remarks() == (f"undefined, because the references have no {unit}",)
    dots = over("wer", ([{"text": "a"}], {"text": ["..."]}))
    assert math.isfinite(dots.compute()[""]) and math.isnan(dots.compute()["normalized"])
    assert "normalized is undefined" in dots.remarks()[0]
