"""Answers to chats for whoever serves a model: told while they are written, counted in tokens.

`Answering` has what `mmft_serve.chatting.Chatting` asks of a task.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from transformers.generation.streamers import BaseStreamer

from mmft_chat.conversations import Conversation, ToolCall, check_order
from mmft_chat.extents import extents
from mmft_chat.media import check_media
from mmft_chat.reading import check_held, messages_of, tools_of
from mmft_chat.tool_calls import BEGINS, split_calls
from mmft_core.contracts import Extent, Tensors

if TYPE_CHECKING:
    from mmft_chat.backbone import ChatBackbone
    from mmft_chat.processing import ChatProcessor
    from mmft_core.config import Generation

Show = Callable[[str, str], None]
"""Receives a piece of the reasoning and a piece of the answer; one of them is empty."""

_THINKS, _THOUGHT = "<think>", "</think>"
_BROKEN = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model says to a chat.

    Attributes:
        reasoning: what it thought before, where it writes that down.
        calls: of tools, if the chat has any.
        prompt_tokens: of the chat, pictures and recordings included.
        completion_tokens: that were written.
        ending: "stop" where the model ended it, or a text that it was to end with; "length" where
            there were no tokens left.
    """

    text: str
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    prompt_tokens: int
    completion_tokens: int
    ending: Literal["stop", "length"]


@dataclass(frozen=True)
class Prepared:
    """A chat that is ready for the model."""

    inputs: Tensors
    tools: bool


class Answering:
    """A task whose model answers chats, one at a time."""

    model: ChatBackbone
    generation: Generation
    processor: ChatProcessor

    @property
    def chat_media(self) -> tuple[str, ...]:
        """What it sees or hears beside text: "image", "audio"."""
        return self.processor.reads

    def prepare_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] = (),
        check: Callable[[Extent], None] = lambda extent: None,
    ) -> Prepared:
        """Prepare a chat in OpenAI's form; for any thread.

        Pictures and recordings have to be in it, as data: URLs, for who asks is not who owns the
        machine's files.

        Args:
            check: is told how much the chat holds, and raises where that is too much.

        Raises:
            ValueError: it cannot be answered; says why.
        """
        chat = chat_of(messages, tools)
        for extent in extents(chat):
            check(extent)
        for message in chat.messages:
            for part in message.parts:
                if part.media is not None:
                    check_media(part.media, part.kind)
        self.processor.inspect(chat)
        item = self.processor.prepare(chat, train=False)
        return Prepared(self.processor.collate([item]), bool(chat.tools))

    @torch.no_grad()
    def answer_chat(
        self,
        prepared: Prepared,
        show: Show = lambda thought, said: None,
        *,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        stop: Sequence[str] = (),
    ) -> Answer:
        """Answer a chat; for one thread at a time.

        What is left open is as the task's options say.

        Args:
            temperature: of sampling; 0 for greedy search.
            seed: None for another sample each time.
            stop: texts before which the answer ends.
        """
        settings = _settings(self.generation, max_tokens, temperature, top_p)
        device = self.model.network.get_input_embeddings().weight.device
        inputs = {name: tensor.to(device) for name, tensor in prepared.inputs.items()}
        (length,) = self.model._prompt_lengths(inputs)
        opens = self._opens_thought(inputs, int(length))
        ends = BEGINS if prepared.tools else ""
        watch = _Watch(self.model.tokenizer, tuple(stop), ends, show, opens=opens)
        drawn = secrets.randbits(62) if seed is None else seed
        with contextlib.suppress(_StoppedError):
            self.model.write(inputs, settings, watch, drawn)
        ended = watch.stopped or (bool(watch.tokens) and watch.tokens[-1] in self.model._ends())
        thought, said = watch.finished()
        text, calls = split_calls(said) if prepared.tools else (said, [])
        return Answer(
            text=text,
            reasoning=thought,
            calls=tuple(calls),
            prompt_tokens=int(length),
            completion_tokens=len(watch.tokens),
            ending="stop" if ended else "length",
        )

    def _opens_thought(self, inputs: Tensors, length: int) -> bool:
        """Whether the prompt (1, L) ends with what a thought begins with."""
        last = inputs["tokens"][0, max(0, length - 8) : length]
        text: str = self.model.tokenizer.decode(last)
        return text.rstrip().endswith(_THINKS)


def chat_of(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()
) -> Conversation:
    """A chat in OpenAI's form from somebody who is not to read files of this machine.

    Raises:
        ValueError: it is not one, its turns are out of order, or it names a file.
    """
    check_held(messages)
    found = messages_of(messages, Path())
    check_order(found)
    if found[-1].role == "assistant":
        raise ValueError("its last turn is the assistant's, so there is nothing to answer")
    return Conversation(tuple(found), tools_of(list(tools)))


def _settings(
    own: Generation, max_tokens: int | None, temperature: float | None, top_p: float | None
) -> Generation:
    """How an answer is written: without beams, for its tokens are told as they come."""
    settings = replace(own, num_beams=1)
    if max_tokens is not None:
        settings = replace(settings, max_new_tokens=max_tokens)
    if temperature is not None:
        sampled = temperature > 0
        settings = replace(settings, sample=sampled, temperature=temperature if sampled else 1.0)
    if top_p is not None:
        settings = replace(settings, top_p=top_p)
    return settings


class _StoppedError(Exception):
    """A text was written before which the answer ends."""


class _Watch(BaseStreamer):
    """Follows an answer token by token.

    What may still become a part of something else is not told yet: of a text that ends the answer,
    of a character of several tokens, of white space at the end.

    Attributes:
        tokens: that were written.
        stopped: whether one of the texts was found that end the answer.
    """

    def __init__(
        self, tokenizer: Any, stop: tuple[str, ...], ends: str, show: Show, *, opens: bool
    ) -> None:
        """Args:
        ends: what is not told any more, such as a call of a tool; "" for nothing.
        opens: whether the answer begins within a thought.
        """
        self.tokenizer, self.stop, self.ends, self.show = tokenizer, stop, ends, show
        self.opens, self.stopped, self._begun = opens, False, False
        self.tokens: list[int] = []
        self._told = ["", ""]
        self._whole = ""

    def put(self, value: Tensor) -> None:
        if not self._begun:  # The prompt comes first.
            self._begun = True
            return
        self.tokens += value.flatten().tolist()
        # All of them, for some tokenizers drop the space that a text begins with.
        self._whole = self.tokenizer.decode(self.tokens, skip_special_tokens=True)
        places = [at for text in self.stop if (at := self._whole.find(text)) >= 0]
        if places:
            self._whole, self.stopped = self._whole[: min(places)], True
            raise _StoppedError
        told = self._whole[: len(self._whole) - _open_end(self._whole, self.stop)]
        self._tell(*_divided(told, opens=self.opens))

    def end(self) -> None:
        """The model has ended."""

    def finished(self) -> tuple[str, str]:
        """What was thought and said, all of which has been told then but what `ends` begins."""
        thought, said = _divided(self._whole, opens=self.opens)
        if not thought and not said:  # It has not become a thought.
            said = self._whole
        self._tell(thought, said)
        return thought.strip(), said.strip()

    def _tell(self, thought: str, said: str) -> None:
        if self.ends:
            said = said.partition(self.ends)[0]
            said = said[: len(said) - _open_end(said, (self.ends,))]
        for place, now in enumerate((thought.strip(), said.strip())):
            piece = now[len(self._told[place]) :]
            if piece:
                self._told[place] = now
                self.show(*((piece, "") if place == 0 else ("", piece)))


def _divided(text: str, *, opens: bool) -> tuple[str, str]:
    """What is thought and what is said in what was written so far."""
    begun = text.lstrip()
    if not opens:
        if _THINKS.startswith(begun):
            return "", ""  # It may become a thought.
        if not begun.startswith(_THINKS):
            return "", text
        begun = begun[len(_THINKS) :]
    thought, ended, said = begun.partition(_THOUGHT)
    if not ended:
        thought = thought[: len(thought) - _open_end(thought, (_THOUGHT,))]
    return thought, said


def _open_end(text: str, marks: Sequence[str]) -> int:
    """How many characters at the end of a text may be the beginning of a mark, or of a character
    that has not been written to its end."""
    broken = len(text) - len(text.rstrip(_BROKEN))
    longest = max(map(len, marks), default=0)
    for count in range(min(longest, len(text)), 0, -1):
        if any(mark.startswith(text[-count:]) for mark in marks):
            return max(count, broken)
    return broken
