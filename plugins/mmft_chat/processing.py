"""From a chat to tokens, and which of them are learned; several chats in a row."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from mmft_chat import previews
from mmft_chat.conversations import (
    Conversation,
    Kind,
    Message,
    asked,
    check_order,
    without_first,
)
from mmft_chat.extents import extents
from mmft_chat.held import held_chat, with_files
from mmft_chat.learned import Learn, Rendered, prompt_of, rendered
from mmft_chat.packing import shared_rows
from mmft_chat.reading import messages_of
from mmft_chat.showing import Spelled, by_turn
from mmft_chat.templates import Span, Template
from mmft_core.contracts import Axes, Extent, LearnedPart, Preview, Processor, Tensors
from mmft_core.errors import SampleError
from mmft_text.processing import encoded

NO_SAMPLE = -1


class Turns(Protocol):
    """The turns of a chat, or its last ones, and what was made of them."""

    @property
    def messages(self) -> Sequence[Message]: ...
    @property
    def length(self) -> int:
        """The number of their tokens."""


T = TypeVar("T", bound=Turns)


@dataclass(frozen=True, slots=True)
class _Encoded:
    """Turns as text and tokens (L), and which of these are learned (L) bool."""

    messages: Sequence[Message]
    rendered: Rendered
    ids: list[int]
    learned: Any

    @property
    def length(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class ChatProcessor(Processor):
    """Chats as rows of tokens (R, L), in which each keeps to itself.

    Collates to "tokens" int64; "samples" int64, the index in the batch of the chat that a token
    belongs to, -1 for padding; "positions" int64, which begin anew with each chat; "learned" bool;
    and to "prompt" (B, P) int64, padded on the left, with "prompt_mask" bool: what the last answer
    is to be written after.

    Attributes:
        backend: a tokenizer of the library tokenizers.
        pad: the id of padding.
        join: whether chats share rows.
    """

    backend: Any
    template: Template
    pad: int
    max_length: int
    overlong: Literal["refuse", "truncate"] = "refuse"
    learn: Learn = "assistant"
    join: bool = False

    suffixes = (".txt",)
    inspects = True

    @property
    def reads(self) -> tuple[Kind, ...]:
        """What it takes beside text."""
        return ()

    def prepare(self, raw: Conversation, *, train: bool) -> Tensors:
        own = self._fitted(raw, self._encode)
        prompt = own.rendered.text[: own.rendered.begins]
        return {
            "tokens": torch.tensor(own.ids),
            "learned": torch.from_numpy(own.learned),
            "prompt": torch.tensor(self._ids(prompt)),
        }

    def collate(self, items: Sequence[Tensors]) -> Tensors:
        rows = self._rows([len(item["tokens"]) for item in items])
        width = max(sum(len(items[k]["tokens"]) for k in row) for row in rows)
        shape = (len(rows), width)
        tokens, samples = torch.full(shape, self.pad), torch.full(shape, NO_SAMPLE)
        positions = torch.zeros(shape, dtype=torch.int64)
        learned = torch.zeros(shape, dtype=torch.bool)
        for r, row in enumerate(rows):
            at = 0
            for k in row:
                length = len(items[k]["tokens"])
                here = slice(at, at + length)
                tokens[r, here], learned[r, here] = items[k]["tokens"], items[k]["learned"]
                samples[r, here], positions[r, here] = k, torch.arange(length)
                at += length
        prompts = [item["prompt"] for item in items]
        ones = [torch.ones(len(prompt), dtype=torch.bool) for prompt in prompts]
        left: dict[str, Any] = {"batch_first": True, "padding_side": "left"}
        return {
            "tokens": tokens,
            "samples": samples,
            "positions": positions,
            "learned": learned,
            "prompt": pad_sequence(prompts, padding_value=self.pad, **left),
            "prompt_mask": pad_sequence(ones, padding_value=False, **left),
        }

    def _rows(self, lengths: Sequence[int]) -> list[list[int]]:
        """Which samples share a row."""
        if not self.join:
            return [[k] for k in range(len(lengths))]
        return shared_rows(lengths, self.max_length, in_order=False)

    def axes(self) -> Axes:
        long = {name: {1: "length"} for name in ("tokens", "samples", "positions", "learned")}
        return {**long, "prompt": {1: "prompt"}, "prompt_mask": {1: "prompt"}}

    def manifest(self) -> Mapping[str, Any]:
        return {
            "tensors": {
                "prompt": "ids (batch, length) of the rendered chat, up to where the answer begins",
                "prompt_mask": "true where there is a token",
            },
            "tokenizer": "tokenizer.json of the assets, as the library tokenizers reads it, "
            "without special tokens",
            "chat_template": self.template.source,
            "most": f"{self.max_length} tokens in total",
            "padding": {"id": self.pad, "side": "left"},
        }

    def read(self, source: Path) -> Conversation:
        return asked(source.read_text(encoding="utf-8", errors="replace"))

    def parse(self, text: str) -> Conversation:
        """A question, or the messages of a chat as JSON."""
        if text.lstrip().startswith("["):
            with contextlib.suppress(ValueError):
                found = messages_of(text, None)
                check_order(found)
                return Conversation(tuple(found))
        return asked(text)

    def attach(self, raw: Conversation, files: Sequence[Path]) -> Conversation:
        """A chat whose last question is about these pictures and recordings."""
        return with_files(raw, files, self.reads)

    def accept(self, value: Any) -> Conversation | None:
        """The messages of a chat, as OpenAI has them; pictures may be paths and PIL images."""
        return held_chat(value)

    def extent(self, raw: Conversation) -> Sequence[Extent]:
        """Its characters, and each of its pictures and recordings."""
        try:
            return extents(raw)
        except ValueError as error:
            raise SampleError("the chat", str(error)) from None

    def measure(self, raw: Conversation) -> int:
        return self._fitted(raw, self._encode).length

    def inspect(self, raw: Conversation, *, train: bool = False) -> str | None:
        for message in raw.messages:
            if any(part.kind != "text" for part in message.parts):
                raise ValueError("it holds a picture or a recording, and the model reads only text")
        own = self._fitted(raw, self._encode)
        answered = raw.messages[-1].role == "assistant"
        if answered and not own.learned.any():
            raise ValueError("none of its tokens are learned")
        if len(own.messages) < len(raw.messages):
            return f"chat longer than {self.max_length} tokens, its first turns left out"
        closing = self.template.closing if answered else ""
        if closing and own.rendered.text.endswith(closing):
            return f"chat ended with {closing}, because the chat template does not end answers"
        return None

    def show_learned(self, raw: Conversation) -> Sequence[LearnedPart]:
        """The tokens of each turn; see `mmft_core.contracts.ShowingLearned`."""
        messages = self._fitted(raw, self.turns).messages
        spelled = self._spelled(messages, raw.tools)
        return by_turn(self.template, messages, raw.tools, spelled)

    def _spelled(self, messages: Sequence[Message], tools: Sequence[Any]) -> Spelled:
        whole = self._text(messages, tools)
        offsets = encoded(self.backend, whole.text).offsets
        return Spelled(whole.text, whole.text, offsets, in_spans(offsets, whole.spans).tolist())

    def preview(self, raw: Conversation) -> Preview:
        turns = (f"{message.role}: {message.answer}" for message in raw.messages)
        return Preview("text/plain", "\n\n".join(turns).encode("utf-8", "replace"))

    def views(self, raw: Conversation) -> Sequence[Preview]:
        """The turns that the model is given, with their pictures and recordings."""
        return previews.turns(previews.before_the_answer(raw))

    def _ids(self, text: str) -> list[int]:
        return encoded(self.backend, text).ids  # type: ignore[no-any-return]

    def turns(self, messages: Sequence[Message], tools: Sequence[Any]) -> Turns:
        """Render and tokenize turns of a chat as the model receives them.

        Raises:
            ValueError: they cannot be rendered.
        """
        return self._encode(messages, tools)

    def _encode(self, messages: Sequence[Message], tools: Sequence[Any]) -> _Encoded:
        whole = self._text(messages, tools)
        encoding = encoded(self.backend, whole.text)
        learned = in_spans(encoding.offsets, whole.spans)
        return _Encoded(messages, whole, encoding.ids, learned)

    def _text(self, messages: Sequence[Message], tools: Sequence[Any]) -> Rendered:
        """Turns as text; nothing is learned from a question without an answer."""
        if messages[-1].role != "assistant":
            text = prompt_of(self.template, messages, tools)
            return Rendered(text, (), len(text))
        return rendered(self.template, messages, tools, self.learn)

    def _fitted(
        self, raw: Conversation, make: Callable[[Sequence[Message], Sequence[Any]], T]
    ) -> T:
        """What is made of a chat, or of as many of its last turns as fit; no picture is cut.

        Raises:
            ValueError: it is too long, or cannot be rendered.
        """
        made = make(raw.messages, raw.tools)
        whole = made.length
        while made.length > self.max_length:
            if self.overlong == "refuse":
                raise ValueError(self._excess(whole))
            messages = without_first(made.messages)
            if not messages:
                raise ValueError(f"{self._excess(whole)} even without its earlier turns")
            made = make(messages, raw.tools)
        return made

    def _excess(self, length: int) -> str:
        return f"it is {length:,} tokens long, and the model reads {self.max_length:,}"


def in_spans(offsets: Sequence[Span], spans: Sequence[Span]) -> Any:
    """Which tokens (L) have a part in one of the spans, as bool.

    Args:
        offsets: the characters of each. A token's begin where those of the one before end, for some
            tokenizers leave out spaces; those of one character's bytes share it.
    """
    ends = np.maximum.accumulate(np.array([end for _, end in offsets], dtype=np.int64))
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    found = np.zeros(len(ends), dtype=bool)
    for start, end in spans:
        found |= (starts < end) & (ends > start) & (starts < ends)
    for k in np.flatnonzero(starts == ends).tolist():
        found[k] = k > 0 and found[k - 1]
    return found
