"""What a chat is: messages of parts, with roles, tools and calls of tools."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

Role = Literal["system", "user", "assistant", "tool"]
Kind = Literal["text", "image", "audio"]
Media: TypeAlias = "Path | bytes"
"""A file, or the content of one."""

CALLED: Mapping[Kind, str] = {"text": "text", "image": "picture", "audio": "recording"}


@dataclass(frozen=True, slots=True)
class Part:
    """A text, or a picture or recording that stands between texts."""

    kind: Kind
    text: str = ""
    media: Media | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    name: str
    arguments: Mapping[str, Any]
    id: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn.

    Attributes:
        reasoning: what a model thought before it answered, where that stands apart.
        tool_calls: of an assistant.
        name, tool_call_id: of a tool, and of the call that it answers.
    """

    role: Role
    parts: tuple[Part, ...] = ()
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    name: str = ""
    tool_call_id: str = ""

    @property
    def text(self) -> str:
        """Its texts, without what is seen or heard."""
        return "".join(part.text for part in self.parts if part.kind == "text")

    @property
    def answer(self) -> str:
        """What it says, or its calls of tools as JSON."""
        calls = [{"name": c.name, "arguments": dict(c.arguments)} for c in self.tool_calls]
        written = [json.dumps(call, ensure_ascii=False) for call in calls]
        return "\n".join(filter(None, [self.text.strip(), *written]))


@dataclass(frozen=True, slots=True)
class Conversation:
    """A chat.

    Attributes:
        tools: their descriptions as JSON schemas, in OpenAI's form.
        rejected: the same chat with the turns that were liked less; empty where there are none.
    """

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    rejected: tuple[Message, ...] = ()

    @property
    def answer(self) -> str:
        """What the last turn says; "" if it is not the assistant's."""
        last = self.messages[-1]
        return last.answer if last.role == "assistant" else ""

    def media(self, kind: Kind | None = None) -> list[Media]:
        """Its pictures and recordings in their order, or those of one kind."""
        return [
            part.media
            for message in self.messages
            for part in message.parts
            if part.media is not None and kind in (None, part.kind)
        ]


def asked(text: str) -> Conversation:
    """A chat of one question."""
    return Conversation((Message("user", (Part("text", text),)),))


def check_order(messages: Sequence[Message]) -> None:
    """Check that turns follow each other as templates expect them.

    Raises:
        ValueError: they do not; says which turn is out of order, or empty.
    """
    before: Message | None = None
    for number, message in enumerate(messages, 1):
        if not _follows(message, before):
            after = "comes first"
            if before is not None:
                after = f"follows {'an' if before.role == 'assistant' else 'a'} {before.role} turn"
            raise ValueError(f"its roles are out of order: turn {number} ({message.role}) {after}")
        said = message.text.strip() or message.tool_calls or message.reasoning
        if not said and not any(part.media for part in message.parts) and message.role != "tool":
            what = "answer" if message.role == "assistant" else "text"
            raise ValueError(f"turn {number} ({message.role}) has an empty {what}")
        before = message


def check_learnable(messages: Sequence[Message]) -> None:
    """Check that there is something to learn, and that it is an answer to the end.

    Raises:
        ValueError: there is not.
    """
    if not any(message.role == "assistant" for message in messages):
        raise ValueError("it has no assistant turn, so there is nothing to learn")
    if messages[-1].role != "assistant":
        raise ValueError(f"its last turn has the role {messages[-1].role} and is not answered")


def without_first(messages: Sequence[Message]) -> tuple[Message, ...]:
    """A chat without its first question and all up to the next; empty if there is no other.

    What the system says stays, and so does the last answer.
    """
    users = [k for k, message in enumerate(messages) if message.role == "user"]
    if len(users) < 2:
        return ()
    return (*messages[: users[0]], *messages[users[1] :])


def _follows(message: Message, before: Message | None) -> bool:
    if message.role == "system":
        return before is None or before.role == "system"
    if message.role == "user":
        return before is None or before.role in ("system", "assistant")
    if before is None:
        return False
    if message.role == "tool":
        return before.role == "tool" or bool(before.tool_calls)
    return before.role in ("user", "tool")
