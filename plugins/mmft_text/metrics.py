"""The metrics of written texts and of language models.

Texts are lists of strings, predictions and references; likelihoods are the nats of each sample's
tokens (B,) and their numbers (B,).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import regex
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer, Tokenizer
from sacrebleu.metrics import BLEU, CHRF

from mmft_core import NoOptions
from mmft_core.contracts import Metric, MetricContext, MetricValue
from mmft_text.options import RougeOptions

_ROUGE = {"1": "rouge1", "2": "rouge2", "l": "rougeL"}
_LEAST_WORDS = {"1": 1, "2": 2, "l": 1}
"""Of a reference, for it to hold what that kind of ROUGE counts."""

_BLEU_ORDER = 4

_LARGEST = math.log(sys.float_info.max)


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
    """The mean F1 of each kind over all samples (Lin, 2004) whose reference is long enough for it:
    two words for ROUGE-2, one for the others."""

    def __init__(self, options: RougeOptions) -> None:
        self.scorer = rouge_scorer(list(_ROUGE.values()), stemmer=options.stemmer)
        self.words = WordTokenizer(stemmer=False)
        self.reset()

    def update(self, predictions: Any, targets: Any) -> None:
        for prediction, target in zip(predictions, targets, strict=True):
            scores = self.scorer.score(target, prediction)
            words = len(self.words.tokenize(target))
            for part, kind in _ROUGE.items():
                if words >= _LEAST_WORDS[part]:
                    self.sums[part] += scores[kind].fmeasure
                    self.counts[part] += 1
            self.seen += 1

    def compute(self) -> dict[str, MetricValue]:
        return {
            part: total / self.counts[part] if self.counts[part] else math.nan
            for part, total in self.sums.items()
        }

    def remarks(self) -> Sequence[str]:
        return tuple(
            f"{parts} undefined, because no reference has {words}"
            if count == 0
            else f"{parts} without {self.seen - count:,} of {self.seen:,} references, which do not "
            f"have {words}"
            for parts, words, count in (
                ("1 and l are", "a word", self.counts["1"]),
                ("2 is", "two words", self.counts["2"]),
            )
            if count < self.seen or not self.seen
        )

    def state(self) -> Any:
        return dict(self.sums), dict(self.counts), self.seen

    def merge(self, state: Any) -> None:
        sums, counts, seen = state
        self.sums = {part: self.sums[part] + sums[part] for part in self.sums}
        self.counts = {part: self.counts[part] + counts[part] for part in self.counts}
        self.seen += seen

    def reset(self) -> None:
        self.sums, self.counts = dict.fromkeys(_ROUGE, 0.0), dict.fromkeys(_ROUGE, 0)
        self.seen = 0


class Sacrebleu(Metric):
    """A figure of the whole corpus, from counts that add up."""

    def __init__(self, scorer: BLEU | CHRF) -> None:
        self.scorer = scorer
        self.reset()

    def update(self, predictions: Any, targets: Any) -> None:
        # sacrebleu's own way from texts to counts, which it sums up over the corpus itself.
        counts = self.scorer._extract_corpus_statistics(list(predictions), [list(targets)])
        self._add(np.sum(counts, axis=0), max(map(self._held, counts), default=0))

    def _held(self, counts: Sequence[int]) -> int:
        """How much a reference holds: tokens for BLEU, n-grams of characters for chrF."""
        return counts[1] if isinstance(self.scorer, BLEU) else sum(counts[1::3])

    def compute(self) -> dict[str, MetricValue]:
        if self.remarks():
            return {"": math.nan}
        return {"": float(self.scorer._aggregate_and_compute([self.counts.tolist()]).score)}

    def remarks(self) -> Sequence[str]:
        if isinstance(self.scorer, CHRF):
            return () if self.longest else ("undefined, because no reference has characters",)
        if self.longest >= _BLEU_ORDER:
            return ()
        # With no n-gram to find, even the references themselves would have a BLEU of 0.
        return (f"undefined, because no reference has {_BLEU_ORDER} tokens",)

    def state(self) -> Any:
        return None if self.counts is None else (self.counts.tolist(), self.longest)

    def merge(self, state: Any) -> None:
        if state is not None:
            self._add(np.array(state[0]), state[1])

    def _add(self, counts: Any, longest: int) -> None:
        self.counts = counts if self.counts is None else self.counts + counts
        self.longest = max(self.longest, longest)

    def reset(self) -> None:
        self.counts: Any = None
        self.longest = 0


class Perplexity(Metric):
    """The exponential of the mean loss of a token, over all tokens alike."""

    def __init__(self) -> None:
        self.reset()

    def update(self, predictions: Any, targets: Any) -> None:
        self.nats += float(predictions.double().sum())
        self.tokens += int(targets.sum())

    def compute(self) -> dict[str, MetricValue]:
        if not self.tokens:
            return {"": math.nan}
        mean = self.nats / self.tokens
        return {"": math.exp(mean) if mean < _LARGEST else math.inf}

    def remarks(self) -> Sequence[str]:
        if not self.tokens:
            return ("undefined, because there are no tokens to predict",)
        mean = self.nats / self.tokens
        return () if mean < _LARGEST else (f"too large for a number: exp({mean:.4g})",)

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
