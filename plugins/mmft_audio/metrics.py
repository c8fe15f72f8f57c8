"""The metrics of speech recognition: error rates by jiwer, and how fast it is.

Rates are shares: 0.05 is an error in 20 words. They may exceed 1, for words can be inserted.
Predictions and targets are those of the task (`mmft_audio.recognition`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import jiwer
from transformers.models.whisper.english_normalizer import (
    BasicTextNormalizer,
    EnglishTextNormalizer,
)

from mmft_audio.alignment import plain
from mmft_audio.metric_options import ErrorRateOptions
from mmft_core import NoOptions
from mmft_core.contracts import Metric, MetricContext, MetricValue

_KINDS = ("insertions", "deletions", "substitutions")

Normalizer = Callable[[str], str]


def count_errors(prediction: str, reference: str, *, characters: bool) -> Counter[str]:
    """The errors of a transcript, by kind, and the "length" of its reference.

    Args:
        characters: count these, rather than words.
    """
    prediction, reference = plain(prediction), plain(reference)
    units = list(prediction) if characters else prediction.split()
    length = len(reference) if characters else len(reference.split())
    if not length:  # jiwer refuses an empty reference, in which all is inserted.
        return Counter(insertions=len(units), length=0)
    process = jiwer.process_characters if characters else jiwer.process_words
    found = process(reference, prediction)
    return Counter({kind: getattr(found, kind) for kind in _KINDS} | {"length": length})


class ErrorRate(Metric):
    """Errors for each word or character of all references together."""

    def __init__(self, normalizer: Normalizer, *, characters: bool) -> None:
        self.normalizer, self.characters = normalizer, characters
        self.reset()

    def update(self, predictions: Any, targets: Any) -> None:
        for prediction, reference in zip(predictions, targets["text"], strict=True):
            text = prediction["text"]
            self.raw += count_errors(text, reference, characters=self.characters)
            normal = (self.normalizer(text), self.normalizer(reference))
            self.normalized += count_errors(*normal, characters=self.characters)

    def compute(self) -> dict[str, MetricValue]:
        """The rate, the same of normalized texts, and the parts of the former by kind."""
        figures: dict[str, MetricValue] = {
            "": _rate(self.raw),
            "normalized": _rate(self.normalized),
        }
        if not self.characters:
            figures |= {kind: _share(self.raw, kind) for kind in _KINDS}
        return figures

    def remarks(self) -> Sequence[str]:
        unit = "characters" if self.characters else "words"
        if not self.raw["length"]:
            return (f"undefined, because the references have no {unit}",)
        if not self.normalized["length"]:
            return (f"normalized is undefined, because it leaves the references no {unit}",)
        return ()

    def state(self) -> Any:
        return dict(self.raw), dict(self.normalized)

    def merge(self, state: Any) -> None:
        raw, normalized = state
        self.raw.update(raw)
        self.normalized.update(normalized)

    def reset(self) -> None:
        self.raw, self.normalized = Counter[str](), Counter[str]()


def _share(counts: Counter[str], kind: str) -> float:
    return counts[kind] / counts["length"] if counts["length"] else math.nan


def _rate(counts: Counter[str]) -> float:
    return sum(_share(counts, kind) for kind in _KINDS)


class RealTimeFactor(Metric):
    """Seconds of computing for each second of audio; below 1 is faster than speech."""

    def __init__(self) -> None:
        self.reset()

    def update(self, predictions: Any, targets: Any) -> None:
        self.elapsed += float(targets["elapsed"].double().sum())
        self.seconds += float(targets["seconds"].double().sum())

    def compute(self) -> dict[str, MetricValue]:
        return {"": self.elapsed / self.seconds if self.seconds else math.nan}

    def remarks(self) -> Sequence[str]:
        return () if self.seconds else ("undefined, because the recordings have no length",)

    def state(self) -> Any:
        return self.elapsed, self.seconds

    def merge(self, state: Any) -> None:
        self.elapsed, self.seconds = self.elapsed + state[0], self.seconds + state[1]

    def reset(self) -> None:
        self.elapsed, self.seconds = 0.0, 0.0


def _normalizer(options: ErrorRateOptions) -> Normalizer:
    if options.normalizer == "english":
        return EnglishTextNormalizer({})  # type: ignore[no-any-return, no-untyped-call]
    return BasicTextNormalizer()  # type: ignore[no-any-return, no-untyped-call]


def build_wer(options: ErrorRateOptions, context: MetricContext) -> Metric:
    """Word error rate."""
    return ErrorRate(_normalizer(options), characters=False)


def build_cer(options: ErrorRateOptions, context: MetricContext) -> Metric:
    """Character error rate."""
    return ErrorRate(_normalizer(options), characters=True)


def build_real_time_factor(options: NoOptions, context: MetricContext) -> Metric:
    """Real-time factor."""
    return RealTimeFactor()
