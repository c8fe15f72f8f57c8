"""Transcripts: whether they are wanted, and those of a split, for what is fitted to them."""

from __future__ import annotations

from collections.abc import Iterator

from mmft_core.contracts import BackboneContext, Split
from mmft_core.errors import SampleError


def transcripts(split: Split | None) -> Iterator[str]:
    """Yield the transcripts but those of bad samples, of which the check of the data tells."""
    for index in range(len(split) if split is not None else 0):
        assert split is not None
        try:
            target = split.target(index)
        except SampleError:
            continue
        if isinstance(target, str):
            yield target.strip()


def writes(context: BackboneContext) -> bool:
    """Whether a backbone is to write transcripts."""
    return "transcription" in context.needs
