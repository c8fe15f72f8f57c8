"""Calls of tools in what a model writes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from mmft_chat.conversations import ToolCall

BEGINS = "<tool_call>"
"""What many families write before a call."""

_TAGGED = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|$)", re.DOTALL)
_ARGUMENTS = ("arguments", "parameters")
_KEYS = {"name", "id", "type", *_ARGUMENTS}


def split_calls(text: str) -> tuple[str, list[ToolCall]]:
    """What a model says, and the tools that it calls.

    Calls are JSON objects with a name and arguments: between tags, as Qwen and Hermes write them,
    or all that is written, in one list or line by line, as Llama and Mistral do. What looks like a
    call and is not one stays in the text.
    """
    found: list[ToolCall] = []

    def taken(match: re.Match[str]) -> str:
        calls = _calls(match[1])
        found.extend(calls or ())
        return match[0] if calls is None else ""

    rest = _TAGGED.sub(taken, text).strip()
    if found:
        return rest, found
    calls = _calls(text)
    return ("", calls) if calls else (text.strip(), [])


def _calls(text: str) -> list[ToolCall] | None:
    """The calls that a text is; None if it is anything else."""
    value = _parsed(text)
    if value is None:
        lines = [_parsed(line) for line in text.splitlines() if line.strip()]
        value = lines if lines else None
    items = value if isinstance(value, list) else [value]
    calls = [_call(item) for item in items]
    return None if None in calls else [call for call in calls if call is not None]


def _call(value: Any) -> ToolCall | None:
    if isinstance(value, Mapping) and isinstance(value.get("function"), Mapping):
        value = {**value["function"], "id": value.get("id")}
    if not isinstance(value, Mapping) or set(value) - _KEYS:
        return None
    name = value.get("name")
    arguments = next((value[key] for key in _ARGUMENTS if key in value), None)
    if isinstance(arguments, str):
        arguments = _parsed(arguments)
    if not isinstance(name, str) or not isinstance(arguments, Mapping):
        return None
    return ToolCall(name, arguments, str(value.get("id") or ""))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
