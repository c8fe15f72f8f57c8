"""From what people write down of a chat to a `Conversation`.

The forms are those of OpenAI's fine-tuning files (`messages`), of ShareGPT (`from` and `value`),
and of columns of questions and answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmft_chat.conversations import CALLED, Kind, Message, Part, Role, ToolCall
from mmft_chat.media import media_of

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "bing": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_response": "tool",
    "ipython": "tool",
}
_CALLS = ("function_call", "tool_call")
"""Roles of ShareGPT whose value is a call of a tool, as JSON."""

PLACEHOLDERS: Mapping[str, Kind] = {"<image>": "image", "<audio>": "audio"}

_PART_KINDS: Mapping[str, Kind] = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "audio": "audio",
    "audio_url": "audio",
    "input_audio": "audio",
}
_REASONING = ("reasoning_content", "reasoning", "thinking")


def messages_of(value: Any, folder: Path | None) -> list[Message]:
    """The messages of a list of records, or of its JSON.

    Args:
        folder: that relative paths of pictures and recordings start from; None where no file may
            be named, as by a client, who does not own this machine's files.

    Raises:
        ValueError: it is not such a list; says where.
    """
    value = parsed(value, "messages")
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError("its messages are not a list")
    if not value:
        raise ValueError("it has no messages")
    return [_message(item, number, folder) for number, item in enumerate(value, 1)]


def text_or_messages(value: Any, role: Role, folder: Path) -> list[Message]:
    """A text as a message of that role, or the messages that stand in its place.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, list):
        return messages_of(value, folder)
    return [Message(role, (Part("text", as_text(value)),))]


def as_text(value: Any) -> str:
    """A cell as the text of a turn; "" for none, the first of a list of answers."""
    if isinstance(value, list | tuple):
        value = value[0] if value else None
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def tools_of(value: Any) -> tuple[Mapping[str, Any], ...]:
    """Descriptions of tools, in OpenAI's form or as functions alone.

    Raises:
        ValueError: they are something else.
    """
    found = parsed(value, "tools") or []
    if not isinstance(found, Sequence) or not all(isinstance(tool, Mapping) for tool in found):
        raise ValueError("its tools are not a list of JSON objects")
    tools = [t if "function" in t else {"type": "function", "function": t} for t in found]
    if not all(isinstance(t["function"], Mapping) and t["function"].get("name") for t in tools):
        raise ValueError("one of its tools has no name")
    return tuple(tools)


def parsed(value: Any, what: str) -> Any:
    """A value, or what its JSON says.

    Raises:
        ValueError: it is a text that is not JSON.
    """
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError(f"its {what} are a text that is not JSON") from None


def _message(value: Any, number: int, folder: Path | None) -> Message:
    if not isinstance(value, Mapping):
        raise ValueError(f"turn {number} is not a JSON object")
    said = value.get("role", value.get("from"))
    content = value.get("content", value.get("value"))
    if said in _CALLS:
        return Message("assistant", tool_calls=_calls(content, number))
    role = _ROLES.get(str(said).lower())
    if role is None:
        known = "system, user, assistant, tool"
        raise ValueError(f"turn {number} has the role '{said}', which is not one of {known}")
    calls = value.get("tool_calls")
    if not calls and value.get("function_call"):
        calls = [value["function_call"]]
    if calls and role != "assistant":
        raise ValueError(f"turn {number} calls a tool but is not an assistant turn")
    return Message(
        role,
        _parts(content, number, folder),
        reasoning=next((str(value[k]) for k in _REASONING if value.get(k)), ""),
        tool_calls=_calls(calls, number) if calls else (),
        name=str(value.get("name") or ""),
        tool_call_id=str(value.get("tool_call_id") or ""),
    )


def _parts(content: Any, number: int, folder: Path | None) -> tuple[Part, ...]:
    if content is None:
        return ()
    if isinstance(content, str):
        return (Part("text", content),)
    if not isinstance(content, Sequence):
        return (Part("text", json.dumps(content, ensure_ascii=False)),)  # What a tool gave.
    return tuple(_part(item, number, folder) for item in content)


def _part(item: Any, number: int, folder: Path | None) -> Part:
    if isinstance(item, str):
        return Part("text", item)
    if not isinstance(item, Mapping):
        raise ValueError(f"turn {number} has a part that is not a JSON object")
    kind = item.get("type", "text" if "text" in item else None)
    if kind in ("text", "input_text", "output_text"):
        return Part("text", str(item.get("text") or ""))
    if kind not in _PART_KINDS:
        raise ValueError(f"turn {number} has a part of type '{kind}', which cannot be read")
    named = {key: value for key, value in item.items() if key not in ("type", "text", "detail")}
    return Part(_PART_KINDS[kind], media=media_of(named, folder))


def _calls(value: Any, number: int) -> tuple[ToolCall, ...]:
    if isinstance(value, str):
        value = _json(value, number)
    calls = [value] if isinstance(value, Mapping) else list(value or ())
    if not calls:
        raise ValueError(f"turn {number} calls a tool without naming it")
    found = []
    for call in calls:
        own = call.get("function", call) if isinstance(call, Mapping) else None
        if not isinstance(own, Mapping) or not isinstance(own.get("name"), str):
            raise ValueError(f"turn {number} has a tool call without the name of a function")
        arguments = own.get("arguments", own.get("parameters"))
        if isinstance(arguments, str):
            arguments = _json(arguments or "{}", number, own["name"])
        if not isinstance(arguments or {}, Mapping):
            raise ValueError(
                f"turn {number}: the arguments of the tool call {own['name']} are not an object"
            )
        found.append(ToolCall(own["name"], arguments or {}, str(call.get("id") or "")))
    return tuple(found)


def _json(text: str, number: int, name: str = "") -> Any:
    try:
        return json.loads(text)
    except ValueError:
        of = f"the arguments of the tool call {name} are" if name else "its tool call is"
        raise ValueError(f"turn {number}: {of} not JSON") from None


def with_media(
    messages: Sequence[Message], columns: Mapping[Kind, Sequence[Any]], *, anywhere: bool
) -> list[Message]:
    """Put what stands in columns of its own where the placeholders are.

    A placeholder is `<image>` or `<audio>` in a text, or a part without a source. Where there is
    none, pictures and recordings stand before the text of the user's first turn.

    Args:
        columns: by kind what a row has, in order.
        anywhere: whether they may stand there; else each has to have a placeholder.

    Raises:
        ValueError: a placeholder has nothing to stand for, or the reverse.
    """
    found = [
        Message(m.role, tuple(p for part in m.parts for p in _split(part, m.role)), *_rest(m))
        for m in messages
    ]
    for kind, given in columns.items():
        places = sum(p.kind == kind and p.media is None for m in found for p in m.parts)
        noun = CALLED[kind]
        if places == 0 and given and anywhere:
            first = next((k for k, m in enumerate(found) if m.role == "user"), None)
            if first is None:
                raise ValueError(f"it has a {noun} and no user turn to put it into")
            m = found[first]
            parts = (*(Part(kind, media=media) for media in given), *m.parts)
            found[first] = Message(m.role, parts, *_rest(m))
        elif places > len(given):
            marks = f"{_count(places, 'placeholder')} for a {noun}"
            raise ValueError(f"it has {marks} and {_count(len(given), noun)}")
        elif places < len(given):
            marks = f"{_count(places, 'placeholder')} for a {noun}"
            raise ValueError(f"it has {_count(len(given), noun)} and {marks}")
        else:
            found = _filled(found, kind, list(given))
    return found


def _filled(messages: list[Message], kind: Kind, given: list[Any]) -> list[Message]:
    def own(part: Part) -> Part:
        empty = part.kind == kind and part.media is None
        return Part(kind, media=given.pop(0)) if empty else part

    return [Message(m.role, tuple(own(part) for part in m.parts), *_rest(m)) for m in messages]


def _split(part: Part, role: Role) -> list[Part]:
    """A text of a user's as parts, divided at its placeholders."""
    if part.kind != "text" or role != "user":
        return [part]
    parts, text = [], part.text
    while True:
        places = [(text.find(mark), mark) for mark in PLACEHOLDERS if mark in text]
        if not places:
            break
        at, mark = min(places)
        if text[:at]:
            parts.append(Part("text", text[:at]))
        parts.append(Part(PLACEHOLDERS[mark]))
        text = text[at + len(mark) :]
    return [*parts, *([Part("text", text)] if text or not parts else [])]


def _rest(message: Message) -> tuple[Any, ...]:
    return message.reasoning, message.tool_calls, message.name, message.tool_call_id


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
