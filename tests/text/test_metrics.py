"""The metrics of texts agree with their references, merged or not."""

from __future__ import annotations

import math

import pytest
import sacrebleu
import torch
from rouge_score.rouge_scorer import RougeScorer

from mmft_core import MetricSpec, discover
from mmft_core.contracts import MetricContext

PREDICTIONS = [
    "The cat sat on the mat.",
    "Rain is falling on the roofs of the city tonight.",
    "",
    "Computes the mean of an array.",
    "A list of both.",
]
REFERENCES = [
    "A cat was sitting on the mat.",
    "Rain fell on the city's roofs.",
    "A short one.",
    "Compute the arithmetic mean of the array along an axis.",
    "Return a new list that holds the items of both lists.",
]


def metric(name: str, **options):
    component = discover().get(MetricSpec, name)
    return component.build(component.options_type()(**options), MetricContext())


def over(name: str, pairs, **options):
    made = metric(name, **options)
    for predictions, references in pairs:
        made.update(predictions, references)
    return made


HALVES = [(PREDICTIONS[:2], REFERENCES[:2]), (PREDICTIONS[2:], REFERENCES[2:])]


@pytest.mark.parametrize("stemmer", [True, False])
def test_rouge_is_rouge_scores(stemmer: bool) -> None:
    kinds = {"1": "rouge1", "2": "rouge2", "l": "rougeL"}
    scorer = RougeScorer(list(kinds.values()), use_stemmer=stemmer)
    scores = [scorer.score(r, p) for p, r in zip(PREDICTIONS, REFERENCES, strict=True)]
    expected = {k: sum(s[v].fmeasure for s in scores) / len(scores) for k, v in kinds.items()}
    assert over("rouge", HALVES, stemmer=stemmer).compute() == pytest.approx(expected)


def test_rouge_of_other_scripts() -> None:
    made = over("rouge", [(["Кошка сидит на ковре", "猫在垫子上"], ["Кошка сидит", "猫在睡觉"])])
    assert made.compute()["1"] == pytest.approx(
        (2 * 1 * 0.5 / 1.5 + 2 * (2 / 5) * (2 / 4) / 0.9) / 2
    )


def test_bleu_and_chrf_are_sacrebleus() -> None:
    bleu = sacrebleu.corpus_bleu(PREDICTIONS, [REFERENCES]).score
    chrf = sacrebleu.corpus_chrf(PREDICTIONS, [REFERENCES]).score
    assert over("bleu", HALVES).compute()[""] == pytest.approx(bleu)
    assert over("chrf", HALVES).compute()[""] == pytest.approx(chrf)


@pytest.mark.parametrize("name", ["rouge", "bleu", "chrf"])
def test_merged_is_as_if_seen_by_one(name: str) -> None:
    whole, first, second = (over(name, pairs) for pairs in (HALVES, HALVES[:1], HALVES[1:]))
    first.merge(second.state())
    assert first.compute() == pytest.approx(whole.compute())
    first.reset()
    first.merge(whole.state())
    assert first.compute() == pytest.approx(whole.compute())


def test_perplexity_weighs_tokens_alike() -> None:
    made = metric("perplexity")
    made.update(torch.tensor([2.0, 30.0]), torch.tensor([1, 10]))
    made.update(torch.tensor([4.0]), torch.tensor([1]))
    assert made.compute()[""] == pytest.approx(math.exp(36 / 12))
    made.reset()
    assert math.isnan(made.compute()[""])
