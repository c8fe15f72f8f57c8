"""From a text to tokens: cutting and padding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmft_core.contracts import PADDING, Axes, Extent, Preview, Processor, TargetCodec, Tensors
from mmft_core.errors import ConfigError
from mmft_text.text_files import SUFFIXES, read_text

MIN_LENGTH = 8
"""Fewer tokens than that are no text."""


def encoded(backend: Any, text: str) -> Any:
    """A text as a tokenizer of the library tokenizers encodes it, without special tokens.

    Raises:
        ValueError: it holds what is no character.
    """
    try:
        return backend.encode(text, add_special_tokens=False)
    except TypeError:  # Of tokenizers, which reads UTF-8.
        raise ValueError("it holds half of a surrogate pair, which is not a character") from None


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
        """The tokens of a text, which may be empty.

        Raises:
            ValueError: it holds what is no character.
        """
        return encoded(self.backend, text).ids  # type: ignore[no-any-return]

    def words(self, text: str) -> list[int]:
        """The tokens of a text that says something.

        Raises:
            ValueError: it is empty or white space, or holds what is no character.
        """
        ids = self.ids(text) if text.strip() else []
        if not ids:
            raise ValueError("it is an empty text")
        return ids


@dataclass(frozen=True)
class TextProcessor(Processor):
    """Texts as {"tokens": (B, T) int64, "mask": (B, T) bool}, padded to the longest of a batch.

    Attributes:
        max_length: most tokens of a text, with all that stands around it.
        side: where padding goes. On the left, what is generated follows the text at once.
        before, after: tokens of a prompt around each text, which are never cut off.
        positions: of what writes; None for any number, or where nothing does.
        shared: whether a text and what is written to it share these positions.
    """

    vocabulary: Vocabulary
    max_length: int
    overlong: Literal["truncate", "refuse"] = "truncate"
    side: Literal["left", "right"] = "right"
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    positions: int | None = None
    shared: bool = False

    suffixes = SUFFIXES
    inspects = True

    def with_prompt(self, before: str, after: str, room: int) -> TextProcessor:
        """Put a prompt around each text, and leave room for so many tokens to be written.

        Raises:
            ConfigError: there is no such room, or none left for a text.
        """
        left = None if self.positions is None else self.positions - room
        if left is not None and left < (MIN_LENGTH if self.shared else 0):
            raise ConfigError(
                f"{room} tokens are to be written, and the network has only {self.positions} "
                f"positions{' for these and the text' if self.shared else ''}.",
                hint="Lower task.max_target_length and task.max_new_tokens.",
            )
        longest = left if self.shared and left is not None else self.max_length
        prompted = replace(
            self,
            before=tuple(self.vocabulary.ids(before)),
            after=tuple(self.vocabulary.ids(after)),
            max_length=min(self.max_length, longest),
        )
        if prompted._room < 1:
            raise ConfigError(
                f"The prompt leaves no room for a text in {prompted.max_length} tokens.",
                hint="Shorten task.prompt, or raise backbone.max_length.",
            )
        return prompted

    def prepare(self, raw: str, *, train: bool) -> Tensors:
        ids = self.vocabulary.words(raw)
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

    def axes(self) -> Axes:
        return {"tokens": {1: "length"}, "mask": {1: "length"}}

    def longest(self) -> Mapping[str, int]:
        return {"length": self.max_length}

    def manifest(self) -> Mapping[str, Any]:
        v = self.vocabulary
        return {
            "tensors": {"tokens": "ids (batch, length)", "mask": "true where there is a token"},
            "tokenizer": "tokenizer.json of the assets, as the library tokenizers reads it, "
            "without special tokens",
            "before": [*v.head, *self.before],
            "after": [*self.after, *v.tail],
            "most": f"{self.max_length} tokens in all; longer texts are truncated",
            "padding": {"id": v.pad, "side": self.side},
        }

    def read(self, source: Path) -> str:
        return read_text(source, str(source))

    def parse(self, text: str) -> str:
        return text

    def extent(self, raw: str) -> Extent:
        return Extent(len(raw), "characters")

    def measure(self, raw: str) -> int:
        around = self.max_length - self._room
        return around + min(self._room, len(self.vocabulary.words(raw)))

    def inspect(self, raw: str, *, train: bool = False) -> str | None:
        ids = self.vocabulary.words(raw)
        if len(ids) <= self._room:
            return None
        if self.overlong == "refuse":
            raise ValueError(f"it is {self._excess(ids)}")
        return f"text longer than {self.max_length} tokens, truncated"

    def preview(self, raw: str) -> Preview:
        return Preview("text/plain", raw.encode("utf-8", "replace"))

    @property
    def _room(self) -> int:
        """How many tokens of a text itself there is room for."""
        around = (self.vocabulary.head, self.before, self.after, self.vocabulary.tail)
        return self.max_length - sum(map(len, around))

    def _excess(self, ids: Sequence[int]) -> str:
        return f"{len(ids)} tokens long, and the model reads {self._room}"


class TokenCodec(TargetCodec):
    """Target texts as token ids (B, T), with `PADDING` after shorter ones."""

    def __init__(self, vocabulary: Vocabulary, *, framed: bool) -> None:
        """Args:
        framed: whether targets stand between the same special tokens as sources; else they
            continue a source, and end with the end of text.
        """
        self.vocabulary, self.framed = vocabulary, framed

    def encode(self, target: str) -> Tensor:
        v = self.vocabulary
        if self.framed:
            return torch.tensor([*v.head, *v.words(target), *v.tail])
        return torch.tensor([*v.words(" " + target), *([] if v.end is None else [v.end])])

    def collate(self, targets: Sequence[Tensor]) -> Tensor:
        return pad_sequence(list(targets), batch_first=True, padding_value=PADDING)
