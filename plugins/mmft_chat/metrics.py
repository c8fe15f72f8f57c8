"""Metrics for short answers: exact match, and F1 of the words shared with the reference.

Answers are normalized much as in SQuAD's evaluation (Rajpurkar et al., 2016): lower case, without
punctuation, English articles and extra spaces. Signs before a digit are kept, because -5 is not 5.
If nothing would be left, answers are compared unchanged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import regex

from mmft_chat.tool_calls import split_calls
from mmft_core import NoOptions
from mmft_core.contracts import Metric, MetricContext, SampleMean

_ARTICLES = regex.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = regex.compile(r"[\p{P}\p{S}](?!\d)")


def words(text: str) -> list[str]:
    """The normalized words of an answer."""
    plain = _ARTICLES.sub(" ", _PUNCTUATION.sub("", text.lower())).split()
    return plain or text.split()


def exact_match(prediction: str, reference: str) -> float:
    """1 if both have the same words and call the same tools with the same arguments, else 0."""
    wanted, calls = split_calls(reference)
    said, found = split_calls(prediction) if calls else (prediction, [])
    same = [(c.name, c.arguments) for c in found] == [(c.name, c.arguments) for c in calls]
    return float(same and words(said) == words(wanted))


def token_f1(prediction: str, reference: str) -> float:
    """The F1 of the shared words, 0 to 1."""
    one, other = Counter(words(prediction)), Counter(words(reference))
    shared = (one & other).total()
    return 2 * shared / (one.total() + other.total()) if shared else 0.0


class TextScore(SampleMean):
    """The mean of a score that compares each answer with its reference."""

    def __init__(self, score: Callable[[str, str], float]) -> None:
        super().__init__()
        self.score = score

    def scores(self, predictions: Any, targets: Any) -> list[float]:
        return [self.score(one, other) for one, other in zip(predictions, targets, strict=True)]


def build_exact_match(options: NoOptions, context: MetricContext) -> Metric:
    """The share of answers that equal the reference."""
    return TextScore(exact_match)


def build_token_f1(options: NoOptions, context: MetricContext) -> Metric:
    """The mean F1 of words."""
    return TextScore(token_f1)
