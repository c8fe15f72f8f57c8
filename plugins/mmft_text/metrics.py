"""The metrics of written texts and of language models.

Texts are lists of strings, predictions and references; likelihoods are the nats of each sample's
tokens (B,) and their numbers (B,).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import regex
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer, Tokenizer
from sacrebleu.metrics import BLEU, CHRF

from mmft_core.contracts import Metric, MetricContext, MetricValue
from mmft_core.registry import NoOptions
from mmft_text.options import RougeOptions

_ROUGE = {"1": "rouge1", "2": "rouge2", "l": "rougeL"}


class WordTokenizer(Tokenizer):
    """rouge-score's own tokenizer where a text is ASCII; words of any script elsewhere.

    rouge-score passes over every letter that is not a to z, and so would find nothing in most of
    the world's texts.
    """

    def __init__(self, stemmer: bool) -> None:
        self.ascii = DefaultTokenizer(use_stemmer=stemmer)

    def tokenize(self, text: str) -> list[str]:
        if text.isascii():
            return self.ascii.tokenize(text)  # type: ignore[no-any-return]
        # Scripts that are written without spaces are compared by their characters.
        return regex.findall(  # type: ignore[no-any-return]
            r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]|[\p{L}\p{M}\p{N}]+", text.lower()
        )


def rouge_scorer(kinds: list[str], *, stemmer: bool = True) -> RougeScorer:
    """rouge-score's scorer of these kinds ("rouge1", "rougeL"), for texts in any script."""
    return RougeScorer(kinds, tokenizer=WordTokenizer(stemmer))


class Rouge(Metric):
    """The mean F1 of each kind over all samples (Lin, 2004)."""

    def __init__(self, options: RougeOptions) -> None:
        self.scorer = rouge_scorer(list(_ROUGE.values()), stemmer=options.stemmer)
        self.reset()

    def update(self, predictions: Any, targets: Any) -> None:
        for prediction, target in zip(predictions, targets, strict=True):
            scores = self.scorer.score(target, prediction)
            for part, kind in _ROUGE.items():
                self.sums[part] += scores[kind].fmeasure
            self.count += 1

    def compute(self) -> dict[str, MetricValue]:
        return {part: total / max(1, self.count) for part, total in self.sums.items()}

    def state(self) -> Any:
        return dict(self.sums), self.count

    def merge(self, state: Any) -> None:
        sums, count = state
        self.sums = {part: self.sums[part] + sums[part] for part in self.sums}
        self.count += count

    def reset(self) -> None:
        self.sums, self.count = dict.fromkeys(_ROUGE, 0.0), 0


class Sacrebleu(Metric):
    """A figure of the whole corpus, from counts that add up."""

    def __init__(self, scorer: BLEU | CHRF) -> None:
        self.scorer = scorer
        self.reset()

    def update(self, predictions: Any, targets: Any) -> None:
        # sacrebleu's own way from texts to counts, which it sums up over the corpus itself.
        counts = self.scorer._extract_corpus_statistics(list(predictions), [list(targets)])
        total = np.sum(counts, axis=0)
        self.counts = total if self.counts is None else self.counts + total

    def compute(self) -> dict[str, MetricValue]:
        if self.counts is None:
            return {"": math.nan}
        return {"": float(self.scorer._aggregate_and_compute([self.counts.tolist()]).score)}

    def state(self) -> Any:
        return None if self.counts is None else self.counts.tolist()

    def merge(self, state: Any) -> None:
        if state is not None:
            other = np.array(state)
            self.counts = other if self.counts is None else self.counts + other

    def reset(self) -> None:
        self.counts: Any = None


class Perplexity(Metric):
    """The exponential of the mean loss of a token, over all tokens alike."""

    def __init__(self) -> None:
        self.reset()

    def update(self, predictions: Any, targets: Any) -> None:
        self.nats += float(predictions.double().sum())
        self.tokens += int(targets.sum())

    def compute(self) -> dict[str, MetricValue]:
        return {"": math.exp(self.nats / self.tokens) if self.tokens else math.nan}

    def state(self) -> Any:
        return self.nats, self.tokens

    def merge(self, state: Any) -> None:
        self.nats, self.tokens = self.nats + state[0], self.tokens + state[1]

    def reset(self) -> None:
        self.nats, self.tokens = 0.0, 0


def build_rouge(options: RougeOptions, context: MetricContext) -> Metric:
    """ROUGE-1, ROUGE-2 and ROUGE-L."""
    return Rouge(options)


def build_bleu(options: NoOptions, context: MetricContext) -> Metric:
    """BLEU from 0 to 100, with sacrebleu's tokenizer (Post, 2018)."""
    return Sacrebleu(BLEU(force=True))  # Without remarks on tokenized texts.


def build_chrf(options: NoOptions, context: MetricContext) -> Metric:
    """chrF from 0 to 100 (Popović, 2015)."""
    return Sacrebleu(CHRF())


def build_perplexity(options: NoOptions, context: MetricContext) -> Metric:
    """Perplexity."""
    return Perplexity()
