"""Error rates and the real-time factor: against counts by hand, streamed and merged."""

from __future__ import annotations

import math

import pytest
import torch

from mmft_core import MetricSpec
from mmft_core.config.options import convert
from mmft_core.contracts import Metric, MetricContext
from mmft_core.discovery import discover


def make(name: str, **options: str) -> Metric:
    component = discover().get(MetricSpec, name)
    metric = component.build(convert(options, component.options_type(), "metric"), MetricContext())
    assert isinstance(metric, Metric)
    return metric


def feed(metric: Metric, *pairs: tuple[str, str]) -> Metric:
    predictions = [{"text": prediction} for prediction, _ in pairs]
    metric.update(predictions, {"text": [reference for _, reference in pairs]})
    return metric


PAIRS = (
    ("set a timer", "set a timer"),  # right
    ("turn of the the light", "turn off the light"),  # one substituted, one inserted
    ("Stop", "stop now."),  # case and punctuation: one substituted, one deleted
)


def test_words() -> None:
    figures = feed(make("wer"), *PAIRS).compute()
    assert figures[""] == pytest.approx(4 / 9)
    assert figures["normalized"] == pytest.approx(3 / 9)
    assert [figures[k] for k in ("insertions", "deletions", "substitutions")] == pytest.approx(
        [1 / 9, 1 / 9, 2 / 9]
    )


def test_characters() -> None:
    figures = feed(make("cer"), ("abcd", "abxd"), ("a", "a")).compute()
    assert figures == {"": pytest.approx(1 / 5), "normalized": pytest.approx(1 / 5)}


@pytest.mark.parametrize("name", ["wer", "cer"])
def test_white_space_is_all_alike(name: str) -> None:
    pairs = ("turn the lights on", "turn the\nlights on"), ("stop\t now ", "stop now")
    assert feed(make(name), *pairs).compute()[""] == 0.0


def test_numbers_and_contractions_in_english() -> None:
    pair = ("I'm here at twenty five.", "i am here at 25")
    assert feed(make("wer"), pair).compute()["normalized"] > 0.5
    assert feed(make("wer", normalizer="english"), pair).compute()["normalized"] == 0.0


@pytest.mark.parametrize("name", ["wer", "cer"])
def test_streams_and_merges(name: str) -> None:
    whole = feed(make(name), *PAIRS).compute()
    streamed, other = make(name), make(name)
    feed(streamed, PAIRS[0])
    feed(feed(other, PAIRS[1]), PAIRS[2])
    streamed.merge(other.state())
    assert streamed.compute() == whole
    streamed.reset()
    assert math.isnan(streamed.compute()[""])


def test_an_empty_reference_counts_what_is_written() -> None:
    figures = feed(make("wer"), ("two words", ""), ("a b", "a b")).compute()
    assert figures[""] == figures["insertions"] == 1.0
    assert math.isnan(feed(make("wer"), ("word", "")).compute()[""])


def test_real_time_factor() -> None:
    metric = make("real-time-factor")
    targets = {"seconds": torch.tensor([10.0, 30.0]), "elapsed": torch.tensor([1.0, 3.0])}
    metric.update([{}, {}], {"text": ["", ""], **targets})
    assert metric.compute()[""] == pytest.approx(0.1)
