"""From a text to tokens: cutting, padding, packing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmft_core.contracts import PADDING, Preview, Processor, TargetCodec, Tensors
from mmft_core.errors import SampleError

SUFFIXES = (".txt", ".md")


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer as tokenizers has it, with the ids of its special tokens.

    Encoding changes nothing in it, so that threads may share it.

    Attributes:
        head, tail: what a text stands between.
        start, end: of text, or None.
    """

    backend: Any
    head: tuple[int, ...]
    tail: tuple[int, ...]
    pad: int
    start: int | None
    end: int | None

    @classmethod
    def of(cls, tokenizer: Any) -> Vocabulary:
        """Take over a tokenizer of transformers."""
        backend = tokenizer.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        plain = backend.encode("a", add_special_tokens=False).ids
        framed = backend.encode("a").ids
        at = next(i for i in range(len(framed)) if framed[i : i + len(plain)] == plain)
        end = (
            tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
        )
        pad = tokenizer.pad_token_id
        return cls(
            backend=backend,
            head=tuple(framed[:at]),
            tail=tuple(framed[at + len(plain) :]),
            pad=pad if pad is not None else (end or 0),
            start=tokenizer.bos_token_id,
            end=end,
        )

    def ids(self, text: str) -> list[int]:
        return self.backend.encode(text, add_special_tokens=False).ids  # type: ignore[no-any-return]


@dataclass(frozen=True)
class TextProcessor(Processor):
    """Texts as {"tokens": (B, T) int64, "mask": (B, T) bool}, padded to the longest of a batch.

    Attributes:
        max_length: most tokens of a text, with all that stands around it.
        side: where padding goes. On the left, what is generated follows the text at once.
        before, after: tokens of a prompt around each text, which are never cut off.
        positions: of the network, where what it writes needs them too; None for any number.
    """

    vocabulary: Vocabulary
    max_length: int
    overlong: Literal["truncate", "refuse"] = "truncate"
    side: Literal["left", "right"] = "right"
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    positions: int | None = None

    suffixes = SUFFIXES
    inspects = True

    def continued(self, positions: int | None) -> TextProcessor:
        """For a network that continues its input, with which it shares its positions."""
        return replace(self, side="left", positions=positions)

    def with_prompt(self, before: str, after: str, room: int) -> TextProcessor:
        """Put a prompt around each text, and leave room for so many tokens to be written."""
        longest = self.max_length if self.positions is None else self.positions - room
        return replace(
            self,
            before=tuple(self.vocabulary.ids(before)) if before else (),
            after=tuple(self.vocabulary.ids(after)) if after else (),
            max_length=max(8, min(self.max_length, longest)),
        )

    def prepare(self, raw: str, *, train: bool) -> Tensors:
        ids = _not_empty(self.vocabulary.ids(raw))
        if self.overlong == "refuse" and len(ids) > self._room:
            raise ValueError(f"it is {self._excess(ids)}")
        head, tail = self.vocabulary.head + self.before, self.after + self.vocabulary.tail
        return {"tokens": torch.tensor([*head, *ids[: self._room], *tail])}

    def collate(self, items: Sequence[Tensors]) -> Tensors:
        rows = [item["tokens"] for item in items]
        lengths = torch.tensor([len(row) for row in rows])
        tokens = pad_sequence(
            rows, batch_first=True, padding_value=self.vocabulary.pad, padding_side=self.side
        )
        places = torch.arange(tokens.shape[1])
        if self.side == "left":
            places = places.flip(0)
        return {"tokens": tokens, "mask": places < lengths[:, None]}

    def read(self, source: Path) -> str:
        try:
            return source.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise SampleError(str(source), f"is not UTF-8 at byte {error.start}") from None
        except OSError as error:
            raise SampleError(str(source), (error.strerror or str(error)).lower()) from None

    def parse(self, text: str) -> str:
        return text

    def inspect(self, raw: str) -> str | None:
        ids = _not_empty(self.vocabulary.ids(raw))
        if len(ids) <= self._room:
            return None
        if self.overlong == "refuse":
            raise ValueError(f"it is {self._excess(ids)}")
        return f"text longer than {self.max_length} tokens, its end cut off"

    def preview(self, raw: str) -> Preview:
        return Preview("text/plain", raw.encode("utf-8", "replace"))

    @property
    def _room(self) -> int:
        """How many tokens of a text itself there is room for."""
        around = (self.vocabulary.head, self.before, self.after, self.vocabulary.tail)
        return max(1, self.max_length - sum(map(len, around)))

    def _excess(self, ids: Sequence[int]) -> str:
        return f"{len(ids)} tokens long, and the model reads {self._room}"


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
        return {"tokens": torch.tensor([*start, *_not_empty(vocabulary.ids(raw)), *end])}

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

    def read(self, source: Path) -> str:
        return self.plain.read(source)

    def parse(self, text: str) -> str:
        return text

    def inspect(self, raw: str) -> None:
        _not_empty(raw.strip())

    def preview(self, raw: str) -> Preview:
        return self.plain.preview(raw)


class TokenCodec(TargetCodec):
    """Target texts as token ids (B, T), with `PADDING` behind shorter ones."""

    def __init__(self, vocabulary: Vocabulary, *, framed: bool) -> None:
        """Args:
        framed: whether targets stand between the same special tokens as sources; else they
            continue a source, and end with the end of text.
        """
        self.vocabulary, self.framed = vocabulary, framed

    def encode(self, target: str) -> Tensor:
        v = self.vocabulary
        if self.framed:
            return torch.tensor([*v.head, *v.ids(target), *v.tail])
        return torch.tensor([*v.ids(" " + target), *([] if v.end is None else [v.end])])

    def collate(self, targets: Sequence[Tensor]) -> Tensor:
        return pad_sequence(list(targets), batch_first=True, padding_value=PADDING)


def _not_empty(tokens: Any) -> Any:
    if not tokens:
        raise ValueError("it is an empty text")
    return tokens
