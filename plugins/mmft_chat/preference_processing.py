"""From two chats, or one with a label, to tokens of which those of the scored answers are known."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmft_chat.conversations import Conversation, Message, without_first
from mmft_chat.preference_data import prompt_length
from mmft_chat.processing import ChatProcessor
from mmft_core.contracts import LearnedPart, Preview, ProcessorWrapper, TargetCodec, Tensors

KEYS = "keys"
_CROSSED = "crossed."


class PreferenceProcessor(ProcessorWrapper):
    """Chats whose answers are scored, around the preprocessing of a chat model.

    Of B samples with S sides each it collates the N = S x B chats as that does, all chosen ones
    before all rejected ones, of which "learned" are the tokens of the scored answers; and "keys"
    (B, S) int64, which are equal for equal chats only. Chats to be answered are collated as they
    always are.
    """

    inner: ChatProcessor
    inspects = True

    def __init__(self, chat: ChatProcessor, *, crosses: bool) -> None:
        """Args:
        crosses: whether answers are also put after the prompts of other samples of the batch;
            these chats and their keys have names that begin with "crossed.".
        """
        super().__init__(chat)
        self.crosses = crosses

    # --- scored answers -------------------------------------------------------------------------

    def prepare_sides(self, raw: Conversation) -> Tensors:
        """What `collate` joins of a sample: the tensors of side k are named "k.NAME".

        Raises:
            ValueError: a side cannot be rendered, is too long, or is no different from the other.
        """
        found: Tensors = {}
        keys = []
        for k, (processor, chat) in enumerate(self._sides(raw)):
            own = processor.prepare(chat, train=False)
            keys.append(_key(own))
            found |= {f"{k}.{name}": tensor for name, tensor in own.items()}
        if len(set(keys)) < len(keys):
            raise ValueError("its two sides are the same tokens, so neither is preferred")
        return {KEYS: torch.tensor(keys), **found}

    def _sides(self, raw: Conversation) -> list[tuple[ChatProcessor, Conversation]]:
        """Each side as a chat, and what prepares it; shortened alike where that is asked for."""
        sides = [raw.messages, raw.rejected] if raw.rejected else [raw.messages]
        shared = prompt_length(*sides) if raw.rejected else len(raw.messages) - 1
        scored = [_answers(side[shared:]) for side in sides]
        while _questions(sides[0][:shared]) > 1 and self._are_too_long(sides, raw):
            shorter = [without_first(side) for side in sides]
            shared -= len(sides[0]) - len(shorter[0])
            sides = shorter
        plain = replace(self.inner, overlong="refuse")
        return [
            (replace(plain, learn=count), Conversation(tuple(side), raw.tools))
            for count, side in zip(scored, sides, strict=True)
        ]

    def _are_too_long(self, sides: Sequence[Sequence[Message]], raw: Conversation) -> bool:
        if self.inner.overlong == "refuse":
            return False
        most = self.inner.max_length
        return any(self.inner.turns(side, raw.tools).length > most for side in sides)

    def collate(self, items: Sequence[Tensors]) -> Tensors:
        if KEYS not in items[0]:
            return self.inner.collate(items)
        chats = [_side(item, k) for k in range(len(items[0][KEYS])) for item in items]
        found = {**self.inner.collate(chats), KEYS: torch.stack([item[KEYS] for item in items])}
        if self.crosses and len(items) > 1:
            pairs = zip(chats, [chats[-1], *chats[:-1]], strict=True)
            crossed = [_crossed(one, other, self.inner.max_length) for one, other in pairs]
            named = torch.tensor([_key(chat) for chat in crossed]).view(-1, len(items))
            own = {**self.inner.collate(crossed), KEYS: named.T.contiguous()}
            found |= {f"{_CROSSED}{name}": tensor for name, tensor in own.items()}
        return found

    def inspect(self, raw: Conversation, *, train: bool = False) -> str | None:
        sides = self._sides(raw)
        remarks = [processor.inspect(chat, train=train) for processor, chat in sides]
        self.prepare_sides(raw)
        if len(sides[0][1].messages) < len(raw.messages):
            return f"chat longer than {self.inner.max_length} tokens, its first turns left out"
        return next(filter(None, remarks), None)

    def measure(self, raw: Conversation) -> int | None:
        lengths = [processor.measure(chat) for processor, chat in self._sides(raw)]
        known = [length for length in lengths if length is not None]
        return sum(known) if len(known) == len(lengths) else None

    def show_learned(self, raw: Conversation) -> Sequence[LearnedPart]:
        """The tokens of each side; see `mmft_core.contracts.ShowingLearned`."""
        sides = self._sides(raw)
        names = ("chosen, ", "rejected, ") if len(sides) > 1 else ("",)
        return [
            replace(part, label=name + part.label)
            for name, (processor, chat) in zip(names, sides, strict=True)
            for part in processor.show_learned(chat)
        ]

    # --- chats to be answered -------------------------------------------------------------------

    def prepare(self, raw: Conversation, *, train: bool) -> Tensors:
        return self.inner.prepare(replace(raw, rejected=()), train=train)

    def attach(self, raw: Conversation, files: Sequence[Path]) -> Conversation:
        return self.inner.attach(raw, files)

    def accept(self, value: Any) -> Conversation | None:
        return self.inner.accept(value)

    def views(self, raw: Conversation) -> Sequence[Preview]:
        """The chat, and the answer that is liked less."""
        shown = self.inner.views(raw)
        if not raw.rejected:
            return shown
        answers = raw.rejected[prompt_length(raw.messages, raw.rejected) :]
        text = "\n\n".join(["rejected:", *(message.answer for message in answers)])
        return [*shown, Preview("text/plain", text.encode("utf-8", "replace"))]


class PreferenceCodec(TargetCodec):
    """Collates to {"desirable": (B,) bool}, and prepares both sides of what is scored.

    Targets are {"chosen": ..., "rejected": ...}, or {"answer": ..., "label": bool}.
    """

    def __init__(self, processor: PreferenceProcessor, *, loss: str) -> None:
        self.processor, self.loss = processor, loss

    def prepare(
        self, inputs: Mapping[str, Any], target: Any, *, train: bool
    ) -> tuple[Mapping[str, Tensors], Any]:
        """Prepare what is scored, or without a target what is to be answered."""
        chat = inputs["chat"]
        if target is None:
            return {"chat": self.processor.prepare(chat, train=train)}, None
        return {"chat": self.processor.prepare_sides(chat)}, self.encode(target)

    def encode(self, target: Mapping[str, Any]) -> bool:
        if "label" not in target:
            return True
        if self.loss != "kto":
            raise ValueError(
                f"task.loss = '{self.loss}' compares two answers, but it has one with a label"
            )
        return bool(target["label"])

    def collate(self, targets: Sequence[bool]) -> Tensors:
        return {"desirable": torch.tensor(targets, dtype=torch.bool)}


def scored_and_crossed(inputs: Tensors) -> tuple[Tensors, Tensors, Tensor]:
    """What `PreferenceProcessor.collate` gave: the scored chats, the crossed ones, and the keys."""
    own = {n: t for n, t in inputs.items() if n != KEYS and not n.startswith(_CROSSED)}
    crossed = {n.removeprefix(_CROSSED): t for n, t in inputs.items() if n.startswith(_CROSSED)}
    return own, crossed, inputs[KEYS]


def _answers(messages: Sequence[Message]) -> int:
    return sum(message.role == "assistant" for message in messages)


def _questions(messages: Sequence[Message]) -> int:
    return sum(message.role == "user" for message in messages)


def _side(item: Tensors, k: int) -> Tensors:
    prefix = f"{k}."
    return {n.removeprefix(prefix): t for n, t in item.items() if n.startswith(prefix)}


def _key(chat: Tensors) -> int:
    """A digest of all that a chat is made of."""
    total = hashlib.blake2b(digest_size=8)
    for name in sorted(chat):
        total.update(f"{name} {tuple(chat[name].shape)}".encode())
        total.update(chat[name].contiguous().numpy().tobytes())
    return int.from_bytes(total.digest(), "big", signed=True)


def _crossed(one: Tensors, other: Tensors, longest: int) -> Tensors:
    """The prompt of a chat with the answer of another."""
    if "text" in one:
        return _crossed_texts(one, other)
    begins, taken = (int(chat["learned"].int().argmax()) for chat in (one, other))
    join = partial(torch.cat, dim=0)
    prompt = one["tokens"][:begins]
    nothing = torch.zeros(begins, dtype=torch.bool)
    return {
        "tokens": join([prompt, other["tokens"][taken:]])[:longest],
        "learned": join([nothing, other["learned"][taken:]])[:longest],
        "prompt": prompt,
    }


def _crossed_texts(one: Tensors, other: Tensors) -> Tensors:
    """The same of chats as texts with spans, with what the prompt shows."""
    begins, taken = (int(chat["spans"][0, 0]) for chat in (one, other))
    text = _text(one["text"])[:begins] + _text(other["text"])[taken:]
    moved: Tensor = other["spans"] - taken + begins
    return {
        **one,
        "text": torch.tensor(list(text.encode()), dtype=torch.uint8),
        "spans": moved,
        "begins": torch.tensor(begins),
    }


def _text(tensor: Tensor) -> str:
    return bytes(tensor.tolist()).decode()
