"""Answers to chats for whoever serves a model: several at once, told while they are written,
counted in tokens.

`Answering` has what `mmft_serve.chatting.Chatting` asks of a task.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch

from mmft_chat.backbone import ChatBackbone, together
from mmft_chat.conversations import Conversation, ToolCall, check_order
from mmft_chat.extents import extents
from mmft_chat.media import check_media
from mmft_chat.reading import messages_of, tools_of
from mmft_chat.tool_calls import BEGINS, split_calls
from mmft_chat.watching import THINKS, Show, Watch
from mmft_core.contracts import Extent, Tensors

if TYPE_CHECKING:
    from mmft_chat.processing import ChatProcessor
    from mmft_core.config import Generation


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
    """A chat that is ready for the model.

    Attributes:
        item: as the processor prepared it, to be collated with others.
        inputs: as it is alone.
    """

    item: Tensors
    inputs: Tensors
    tools: bool


@dataclass(frozen=True, kw_only=True)
class Question:
    """A prepared chat, and how it is to be answered. What is None is as the task's options say.

    Attributes:
        show: is told the answer piece by piece; see `mmft_chat.watching.Show`.
        end: is told the answer once it is written, while others may not be.
        temperature: of sampling; 0 for greedy search.
        seed: None for another sample each time.
        stop: texts before which the answer ends.
    """

    prepared: Prepared
    show: Show = lambda thought, said: True
    end: Callable[[Answer], None] = lambda answer: None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: Sequence[str] = ()


class Answering:
    """A task whose model answers chats, several at once."""

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

        Pictures and recordings have to be in it, as data: URLs, because the client does not own
        this machine's files.

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
        return Prepared(item, self.processor.collate([item]), bool(chat.tools))

    def answer_chats(self, questions: Sequence[Question]) -> None:
        """Answer chats, as each is answered alone; for one thread at a time.

        Each is answered by its own settings, and ends by itself.
        """
        lengths = [int(self.model._prompt_lengths(q.prepared.inputs)[0]) for q in questions]
        settings = [_settings(self.generation, q) for q in questions]
        most = [
            self.model.room(own.max_new_tokens, length)
            for own, length in zip(settings, lengths, strict=True)
        ]
        batches = [[k] for k in range(len(questions))]
        if len(questions) > 1 and self.model.ignores_padding:
            batches = together(lengths, most, self.model.positions)
        for rows in batches:
            self._answer(
                [questions[k] for k in rows],
                [replace(settings[k], max_new_tokens=most[k]) for k in rows],
                [lengths[k] for k in rows],
            )

    def answer_chat(self, prepared: Prepared, **wishes: Any) -> Answer:
        """Answer one chat.

        Args:
            wishes: of a `Question`.
        """
        found: list[Answer] = []
        self.answer_chats([Question(prepared=prepared, end=found.append, **wishes)])
        return found[0]

    @torch.no_grad()
    def _answer(
        self,
        questions: Sequence[Question],
        settings: Sequence[Generation],
        lengths: Sequence[int],
    ) -> None:
        """Answer chats that fit into one batch."""
        watches = [
            Watch(
                self.model.tokenizer,
                asked.show,
                most=own.max_new_tokens,
                ends=self.model._ends(),
                stop=asked.stop,
                hides=BEGINS if asked.prepared.tools else "",
                opens=self._opens_thought(asked.prepared.inputs, length),
            )
            for asked, own, length in zip(questions, settings, lengths, strict=True)
        ]

        def ended(tokens: Sequence[int]) -> list[bool]:
            for asked, watch, length, token in zip(
                questions, watches, lengths, tokens, strict=True
            ):
                writing = not watch.done
                watch.put(token)
                if writing and watch.done:
                    asked.end(_answer(watch, asked.prepared, length))
            return [watch.done for watch in watches]

        if len(questions) == 1:
            inputs = questions[0].prepared.inputs
        else:
            apart = replace(self.processor, join=False)
            inputs = apart.collate([asked.prepared.item for asked in questions])
        device = self.model.network.device
        inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
        seeds = [secrets.randbits(62) if q.seed is None else q.seed for q in questions]
        self.model.write_each(inputs, settings, seeds, ended)

    def _opens_thought(self, inputs: Tensors, length: int) -> bool:
        """Whether the prompt (1, L) ends with what a thought begins with."""
        last = inputs["tokens"][0, max(0, length - 8) : length]
        text: str = self.model.tokenizer.decode(last)
        return text.rstrip().endswith(THINKS)


def chat_of(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()
) -> Conversation:
    """A chat in OpenAI's form from a client that must not read this machine's files.

    Raises:
        ValueError: it is not one, its turns are out of order, or it names a file.
    """
    found = messages_of(messages, None)
    check_order(found)
    if found[-1].role == "assistant":
        raise ValueError("its last turn is the assistant's, so there is nothing to answer")
    return Conversation(tuple(found), tools_of(list(tools)))


def _answer(watch: Watch, prepared: Prepared, length: int) -> Answer:
    """What was written.

    Args:
        length: tokens of the prompt.
    """
    thought, said = watch.finished()
    text, calls = split_calls(said) if prepared.tools else (said, [])
    watch.tell_rest(text)
    return Answer(
        text=text,
        reasoning=thought,
        calls=tuple(calls),
        prompt_tokens=length,
        completion_tokens=len(watch.tokens),
        ending="stop" if watch.stopped else "length",
    )


def _settings(own: Generation, asked: Question) -> Generation:
    """How an answer is written: without beams, for its tokens are told as they come."""
    settings = replace(own, num_beams=1)
    if asked.max_tokens is not None:
        settings = replace(settings, max_new_tokens=asked.max_tokens)
    if asked.temperature is not None:
        sampled = asked.temperature > 0
        heat = asked.temperature if sampled else 1.0
        settings = replace(settings, sample=sampled, temperature=heat)
    if asked.top_p is not None:
        settings = replace(settings, top_p=asked.top_p)
    return settings
