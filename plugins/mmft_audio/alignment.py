"""Which words of a transcript are wrong, and the recordings with the most of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import jiwer

from mmft_core.contracts import Batch, Example, Gallery
from mmft_core.engine import Highest

Alignment: TypeAlias = list[list[str]]
"""Runs of words: [what is the matter, words of the reference, words of the transcript]."""

HEADING = "Most errors"


def plain(text: str) -> str:
    """The text with single spaces between its words; jiwer splits words at nothing else."""
    return " ".join(text.split())


def align(prediction: str, reference: str) -> Alignment:
    """Align the words of a transcript with its reference's.

    Returns:
        runs that are each "equal", "insert", "delete" or "substitute".
    """
    prediction, reference = plain(prediction), plain(reference)
    if not reference:
        return [["insert", "", prediction]] if prediction else []
    found = jiwer.process_words(reference, prediction)
    said, written = found.references[0], found.hypotheses[0]
    return [
        [
            run.type,
            " ".join(said[run.ref_start_idx : run.ref_end_idx]),
            " ".join(written[run.hyp_start_idx : run.hyp_end_idx]),
        ]
        for run in found.alignments[0]
    ]


def count_wrong(alignment: Alignment) -> int:
    """The words that are inserted, deleted or substituted."""
    return sum(
        max(len(said.split()), len(written.split()))
        for kind, said, written in alignment
        if kind != "equal"
    )


class TranscriptGallery(Gallery):
    """Keeps the recordings with the most wrong words, in bounded memory."""

    def __init__(self, size: int) -> None:
        self._worst = Highest(size)

    def update(self, batch: Batch, predictions: Any, targets: Any) -> None:
        pairs = zip(predictions, targets["text"], strict=True)
        for number, (prediction, reference) in enumerate(pairs):
            alignment = align(prediction["text"], reference)
            wrong, length = count_wrong(alignment), len(reference.split())
            # Of as many wrong words, those are worse that are a greater part of what is said.
            score = wrong + wrong / (1 + wrong + length)
            if not wrong or not self._worst.takes(score):
                continue
            record = {
                "text": prediction["text"],
                "errors": f"{wrong} of {length} words",
                "alignment": alignment,
            }
            self._worst.add(Example(score, batch.ids[number], record))

    def state(self) -> Sequence[Example]:
        return self._worst.examples

    def merge(self, state: Sequence[Example]) -> None:
        for example in state:
            self._worst.add(example)

    def examples(self) -> dict[str, list[Example]]:
        return {HEADING: self._worst.sorted()}
