"""Captions: from segments and from words, as SRT and as WebVTT."""

from __future__ import annotations

import itertools

import pytest

from mmft_core.cli.captions import LINE, LONGEST, PAUSE, captions, render
from tests.conftest import Finished


def words(*timed: tuple[str, float, float]) -> dict:
    return {"words": [{"word": w, "start": s, "end": e} for w, s, e in timed]}


def test_segments_as_they_are() -> None:
    segments = [
        {"start": 0.0, "end": 2.5, "text": "One & <two>"},
        {"start": 3661.0004, "end": 360_000.9996, "text": "three"},
        {"start": 5.0, "end": 6.0, "text": " "},
    ]
    found = captions({"segments": segments})
    assert render(found, "srt") == (
        "1\n00:00:00,000 --> 00:00:02,500\nOne & <two>\n\n"
        "2\n01:01:01,000 --> 100:00:01,000\nthree\n"
    )
    assert render(found, "vtt") == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:02.500\nOne &amp; &lt;two&gt;\n\n"
        "01:01:01.000 --> 100:00:01.000\nthree\n"
    )


def test_words_break_at_pauses_and_sentences() -> None:
    found = captions(
        words(("One.", 0, 0.4), ("Two", 0.5, 0.8), ("three", 0.9, 1.2), ("four", 2.0, 2.3))
    )
    assert [(c.start, c.end, c.lines) for c in found] == [
        (0, 0.4, ("One.",)),
        (0.5, 1.2, ("Two three",)),
        (2.0, 2.3, ("four",)),
    ]


def test_captions_can_be_read() -> None:
    record = words(*((f"word{i}", i * 0.4, i * 0.4 + 0.3) for i in range(200)))
    found = captions(record)
    assert " ".join(line for c in found for line in c.lines) == " ".join(
        f"word{i}" for i in range(200)
    )
    for caption in found:
        assert len(caption.lines) <= 2 and all(len(line) <= LINE for line in caption.lines)
        assert caption.end - caption.start <= LONGEST
    for one, other in itertools.pairwise(found):
        assert one.end <= other.start < one.end + PAUSE


def test_nothing_said() -> None:
    assert render(captions({"segments": []}), "srt") == ""
    assert render(captions({}), "vtt") == "WEBVTT\n"


def test_times_never_run_backwards() -> None:
    (caption,) = captions(words(("odd", 2.0, 1.0)))
    assert caption.end >= caption.start
    assert render([caption], "srt").startswith("1\n00:00:02,000 --> 00:00:02,000")


@pytest.mark.slow
def test_models_without_times_say_so(mmft, photo_folder, tmp_path) -> None:
    from tests.conftest import run_arguments

    run = tmp_path / "run"
    mmft(*run_arguments(run, "--set", "engine.steps=1"))
    finished: Finished = mmft("predict", run, photo_folder(), "--format", "srt")
    assert finished.code == 2
    words = "Captions need timestamps, which models of task 'vision/image-cls' do not predict"
    assert words in finished.err
