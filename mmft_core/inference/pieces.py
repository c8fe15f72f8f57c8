"""Cutting inputs that are too long to be predicted at once, and joining the predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmft_core.contracts import Processor, Sample, Split
from mmft_core.errors import SampleError


def divided_modality(processors: Mapping[str, Processor]) -> str | None:
    """The modality whose inputs may be cut into pieces, if there is one."""
    return next((m for m, processor in processors.items() if processor.divides), None)


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an input.

    Attributes:
        index: of the sample that it belongs to.
        raw: the piece that the processor cut; or the error if the sample cannot be read.
        last: whether the sample ends with it.
    """

    index: int
    raw: Any
    last: bool


class Pieces(Split):
    """The pieces of a split's inputs, in order, each a sample of its own.

    Each input is cut once, in the process that creates this; its content is read when it is used.
    """

    def __init__(self, split: Split, modality: str, processor: Processor) -> None:
        self.split, self.modality = split, modality
        self.pieces = [p for i in range(len(split)) for p in _cut(split, i, modality, processor)]

    def __len__(self) -> int:
        return len(self.pieces)

    def __getitem__(self, index: int) -> Sample:
        piece = self.pieces[index]
        if isinstance(piece.raw, SampleError):
            raise piece.raw
        return Sample({self.modality: piece.raw}, None, self.split.sample_id(piece.index))

    def sample_id(self, index: int) -> str:
        return self.split.sample_id(self.pieces[index].index)


def _cut(split: Split, index: int, modality: str, processor: Processor) -> Iterator[Piece]:
    try:
        raws: Sequence[Any] = processor.pieces(split[index].inputs.get(modality))
    except SampleError as error:
        raws = [error]
    for number, raw in enumerate(raws, start=1):
        yield Piece(index, raw, number == len(raws))
