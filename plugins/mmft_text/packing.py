"""Several texts in a row of tokens, each kept to itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmft_core.contracts import Axes, Preview, Processor, Tensors
from mmft_text.processing import TextProcessor
from mmft_text.text_files import SUFFIXES

MOST_ROWS = 64
"""A text that fills more rows is too long for one pass through a network."""


@dataclass(frozen=True)
class PackingProcessor(Processor):
    """Whole texts for language modelling, packed into rows in which each keeps to itself.

    Collates to three tensors (R, L) int64: "tokens"; "samples", the index in the batch of the text
    that a token belongs to, -1 for none; and "positions", which begin anew with each piece. Texts
    longer than a row are cut into pieces that overlap by one token, so that every token but a
    text's first has one before it.

    Attributes:
        length: of a row, at most.
        join: whether pieces share rows.
    """

    plain: TextProcessor
    length: int
    join: bool = True

    suffixes = SUFFIXES
    inspects = True

    def prepare(self, raw: str, *, train: bool) -> Tensors:
        vocabulary = self.plain.vocabulary
        start = [] if vocabulary.start is None else [vocabulary.start]
        end = [] if vocabulary.end is None else [vocabulary.end]
        return {"tokens": torch.tensor([*start, *vocabulary.words(raw), *end])}

    def collate(self, items: Sequence[Tensors]) -> Tensors:
        pieces = [
            (sample, item["tokens"][i : i + self.length])
            for sample, item in enumerate(items)
            for i in range(0, max(1, len(item["tokens"]) - 1), self.length - 1)
        ]
        rows = self._rows(pieces)
        width = max(sum(len(piece) for _, piece in row) for row in rows)
        shape = (len(rows), width)
        tokens = torch.full(shape, self.plain.vocabulary.pad)
        samples, positions = torch.full(shape, -1), torch.zeros(shape, dtype=torch.int64)
        for r, row in enumerate(rows):
            at = 0
            for sample, piece in row:
                here = slice(at, at + len(piece))
                tokens[r, here], samples[r, here] = piece, sample
                positions[r, here] = torch.arange(len(piece))
                at += len(piece)
        return {"tokens": tokens, "samples": samples, "positions": positions}

    def _rows(self, pieces: Sequence[tuple[int, Tensor]]) -> list[list[tuple[int, Tensor]]]:
        """Put each piece, the longest first, into the first row that has room for it."""
        rows: list[list[tuple[int, Tensor]]] = []
        room: list[int] = []
        for piece in sorted(pieces, key=lambda p: -len(p[1])):
            size = len(piece[1])
            fitting = (r for r, left in enumerate(room) if self.join and size <= left)
            row = next(fitting, None)
            if row is None:
                rows.append([])
                room.append(self.length)
                row = len(rows) - 1
            rows[row].append(piece)
            room[row] -= size
        return rows

    def axes(self) -> Axes:
        return {name: {1: "length"} for name in ("tokens", "samples", "positions")}

    def manifest(self) -> Mapping[str, Any]:
        v = self.plain.vocabulary
        return {
            "tensors": {
                "tokens": "ids (rows, length)",
                "samples": "the text that a token belongs to, -1 for padding",
                "positions": "of tokens, starting from 0 in each text",
            },
            "tokenizer": "tokenizer.json of the assets, as the library tokenizers reads it, "
            "without special tokens",
            "before": [] if v.start is None else [v.start],
            "after": [] if v.end is None else [v.end],
            "most": f"{self.length} tokens a row; a longer text is cut into pieces that overlap "
            "by a token",
            "padding": {"id": v.pad, "side": "right"},
        }

    def read(self, source: Path) -> str:
        return self.plain.read(source)

    def parse(self, text: str) -> str:
        return text

    def inspect(self, raw: str, *, train: bool = False) -> None:
        tokens = len(self.plain.vocabulary.words(raw))
        if tokens > MOST_ROWS * self.length:
            raise ValueError(
                f"it is {tokens:,} tokens long, which would fill more than {MOST_ROWS} rows of "
                f"{self.length} at once; give it as a text file, which is cut into passages"
            )

    def preview(self, raw: str) -> Preview:
        return self.plain.preview(raw)
