"""Preferences as people write them down: two sides to a prompt, or one answer with a label."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmft_chat.conversations import Message, Part
from mmft_chat.reading import messages_of

_SPOKEN = re.compile(r"(?:^|\n\n)(Human|Assistant): ?")
"""How chats are written as one text in the data of Bai et al. (2022)."""


def side_of(prompt: Sequence[Message] | None, value: Any, name: str, folder: Path) -> list[Message]:
    """The whole chat of one side.

    Args:
        prompt: what stands in a column of its own; None where there is none.
        value: an answer as a text; messages that follow the prompt, or begin with it; or, without
            a prompt, a chat as messages or as one text with "Human:" and "Assistant:".
        name: of the side, for messages.

    Raises:
        ValueError: it is none of these, or empty.
    """
    if value is None:
        raise ValueError(f"its {name} side is missing")
    if isinstance(value, str | list) and not (value.strip() if isinstance(value, str) else value):
        raise ValueError(f"its {name} side is empty")
    if not isinstance(value, list):
        text = str(value)
        if prompt is not None:
            return [*prompt, Message("assistant", (Part("text", text),))]
        return _spoken(text, name)
    messages = messages_of(value, folder)
    if not messages[-1].answer.strip() and messages[-1].role == "assistant":
        raise ValueError(f"its {name} side is empty")
    if prompt is None:
        return messages
    if messages[0].role in ("assistant", "tool"):
        return [*prompt, *messages]
    said = [message for message in messages if message.role != "system"]
    asked = [message for message in prompt if message.role != "system"]
    if said[: len(asked)] != asked:
        raise ValueError(f"its prompt does not begin its {name} side")
    return messages


def check_pair(chosen: Sequence[Message], rejected: Sequence[Message]) -> None:
    """Check that two chats are answers to one prompt.

    Raises:
        ValueError: they are not; says why.
    """
    if list(chosen) == list(rejected):
        raise ValueError("its two sides are equal, so neither is preferred")
    shared = prompt_length(chosen, rejected)
    if not any(message.role == "user" for message in chosen[:shared]):
        raise ValueError("its two sides do not begin with the same prompt")
    for one in (chosen, rejected):
        if len(one) == shared:
            raise ValueError("one of its sides is only the beginning of the other")
        if one[shared].role != "assistant":
            raise ValueError(
                f"its two sides differ from turn {shared + 1} on, which has the role "
                f"{one[shared].role} and is not an answer"
            )


def prompt_length(chosen: Sequence[Message], rejected: Sequence[Message]) -> int:
    """With how many messages both sides begin; the others are scored."""
    shared = 0
    for one, other in zip(chosen, rejected, strict=False):
        if one != other:
            break
        shared += 1
    return shared


def label_of(value: Any) -> bool:
    """Whether an answer is desirable.

    Raises:
        ValueError: its label does not say.
    """
    if value is None:
        raise ValueError("its label is missing")
    known = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
    found = known.get(str(value).strip().lower())
    if found is None:
        raise ValueError(f"its label '{value}' is neither true nor false")
    return found


def _spoken(text: str, name: str) -> list[Message]:
    pieces = _SPOKEN.split(text)
    if len(pieces) < 3 or pieces[0].strip():
        raise ValueError(
            f"its {name} side is a text without a prompt: give a column of prompts, or chats as "
            "lists of messages"
        )
    said = zip(pieces[1::2], pieces[2::2], strict=True)
    messages = [
        Message("user" if who == "Human" else "assistant", (Part("text", what.strip()),))
        for who, what in said
    ]
    if messages[-1].role == "assistant" and not messages[-1].text:
        raise ValueError(f"its {name} side is empty")
    return messages
