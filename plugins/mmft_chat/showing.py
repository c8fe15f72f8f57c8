"""Which tokens of a chat are learned, turn by turn, for whoever wants to see it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mmft_chat.conversations import Message
from mmft_chat.templates import Span, Template, agreement
from mmft_core.contracts import LearnedPart, ShownToken


@dataclass(frozen=True)
class Spelled:
    """A rendered chat as tokens.

    Attributes:
        text: as it is rendered.
        whole: the same with placeholders written out, which the tokens are of.
        offsets: the characters of each token in `whole`.
        learned: (L,) bool.
        moved: from a place in `text` to that in `whole`.
    """

    text: str
    whole: str
    offsets: Sequence[Span]
    learned: Sequence[bool]
    moved: Callable[[int], int] = lambda at: at


def by_turn(
    template: Template, messages: Sequence[Message], tools: Sequence[Any], spelled: Spelled
) -> list[LearnedPart]:
    """The tokens of a chat, in the turns that they belong to."""
    ends = [spelled.moved(end) for end in _ends(template, messages, tools, spelled.text)]
    turns: list[list[ShownToken]] = [[] for _ in messages]
    last = 0
    for (_, end), learned in zip(spelled.offsets, spelled.learned, strict=True):
        turn = next((k for k, own in enumerate(ends) if last < own), len(ends) - 1)
        _add(turns[turn], ShownToken(spelled.whole[last:end], bool(learned)))
        last = max(last, end)
    labelled = zip(messages, turns, strict=True)
    return [LearnedPart(message.role, tuple(own)) for message, own in labelled if own]


def _add(tokens: list[ShownToken], token: ShownToken) -> None:
    """Add a token; the bytes of one character, and repeated placeholders, are counted instead."""
    before = tokens[-1] if tokens else None
    if before is not None and before.learned == token.learned:
        placeholder = token.text == before.text and token.text.startswith("<")
        if not token.text or placeholder:
            tokens[-1] = ShownToken(before.text, before.learned, before.count + 1)
            return
    tokens.append(token)


def _ends(
    template: Template, messages: Sequence[Message], tools: Sequence[Any], text: str
) -> list[int]:
    """Where each message ends in the rendering, as far as renderings of the first ones tell."""
    ends, last = [], 0
    for count in range(1, len(messages)):
        with contextlib.suppress(ValueError):  # Some templates refuse what is not a whole chat.
            last = max(last, agreement(text, template.render(messages[:count], tools)))
        ends.append(last)
    return [*ends, len(text)]
