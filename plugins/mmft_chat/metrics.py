"""Metrics of short answers: whether they are the reference's, and how many words they share.

Answers are compared much as SQuAD's evaluation does it (Rajpurkar et al., 2016): in lower case,
without punctuation, English articles and extra spaces. What stands before a digit is kept, for -5
is not 5; where nothing would be left, answers are compared as they are.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import regex

from mmft_chat.tool_calls import split_calls
from mmft_core import NoOptions
from mmft_core.contracts import Metric, MetricContext, MetricValue

_ARTICLES = regex.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = regex.compile(r"[\p{P}\p{S}](?!\d)")


def words(text: str) -> list[str]:
    """The words of an answer as they are compared."""
    plain = _ARTICLES.sub(" ", _PUNCTUATION.sub("", text.lower())).split()
    return plain or text.split()


def exact_match(prediction: str, reference: str) -> float:
    """1 if both have the same words, and call the same tools with the same arguments; else 0."""
    wanted, calls = split_calls(reference)
    said, found = split_calls(prediction) if calls else (prediction, [])
    same = [(c.name, c.arguments) for c in found] == [(c.name, c.arguments) for c in calls]
    return float(same and words(said) == words(wanted))


def token_f1(prediction: str, reference: str) -> float:
    """The F1 of the words that both have, 0 to 1."""
    one, other = Counter(words(prediction)), Counter(words(reference))
    shared = (one & other).total()
    return 2 * shared / (one.total() + other.total()) if shared else 0.0


class MeanScore(Metric):
    """The mean of a score of each answer."""

    def __init__(self, score: Callable[[str, str], float]) -> None:
        self.score = score
        self.total, self.count = 0.0, 0

    def update(self, predictions: Any, targets: Any) -> None:
        for prediction, target in zip(predictions, targets, strict=True):
            self.total += self.score(prediction, target)
            self.count += 1

    def compute(self) -> dict[str, MetricValue]:
        return {"": self.total / self.count if self.count else math.nan}

    def state(self) -> Any:
        return self.total, self.count

    def merge(self, state: Any) -> None:
        self.total, self.count = self.total + state[0], self.count + state[1]

    def reset(self) -> None:
        self.total, self.count = 0.0, 0


def build_exact_match(options: NoOptions, context: MetricContext) -> Metric:
    """The share of answers that are the reference's."""
    return MeanScore(exact_match)


def build_token_f1(options: NoOptions, context: MetricContext) -> Metric:
    """The mean F1 of words."""
    return MeanScore(token_f1)
