"""Predicting what comes on standard input: a text or file name a line, or one file as it is."""

from __future__ import annotations

import itertools
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmft_core.inference.predictor import Prediction, Predictor

_HEAD = 64
"""Bytes by which a file is known."""


def predict_stdin(predictor: Predictor, top_k: int) -> Iterator[Prediction]:
    """Predict standard input, lines as they come and a batch at a time.

    Raises:
        DataError: it is neither text nor a file that the model reads.
    """
    from mmft_core.inference.sources import typed

    if holds_file(predictor):
        yield from _predict_file(predictor, top_k)
        return
    lines = typed(sys.stdin, predictor.processor)
    while batch := list(itertools.islice(lines, predictor.config.batch_size)):
        yield from predictor.predict(batch, top_k)


def holds_file(predictor: Predictor) -> bool:
    """Whether standard input is one file that the model reads, by its first bytes."""
    binary = getattr(sys.stdin, "buffer", None)
    peek = getattr(binary, "peek", None)
    return peek is not None and predictor.processor.sniff(peek(_HEAD)[:_HEAD])


def _predict_file(predictor: Predictor, top_k: int) -> Iterator[Prediction]:
    """Predict all of standard input as one file, which is on disk while it is read."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "input"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        for prediction in predictor.predict([path], top_k):
            yield replace(prediction, source="-")
