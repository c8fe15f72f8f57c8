"""Chats and templates for tests."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from mmft_chat.conversations import Message, Part, ToolCall
from mmft_chat.templates import Template

_TOKENS = re.compile(
    r"<[|｜][^<>\n]*?[|｜]>|</?s>|</?(?:start_of_turn|end_of_turn|end_of_utterance|think|tool_call)>"
    r"|\[/?INST\]|\[gMASK\]|<sop>|<\|(?:turn|tool_call|tool_response|channel|tool)>"
    r"|<(?:turn|tool_call|tool_response|channel|tool)\|>"
)
"""What is a token of its own in the tokenizers of real models."""

_ENDS = {
    "phi3": "<|endoftext|>",
    "phi3_5": "<|endoftext|>",
    "deepseekv3": "<｜end▁of▁sentence｜>",
    "deepseek_r1_distill": "<｜end▁of▁sentence｜>",
    "llava_next": "</s>",
}
STRUCTURED = ("idefics3", "smolvlm", "llava_next")
"""Templates that read lists of parts alone."""


def templates_of_trl() -> Path:
    """The folder of real templates that the package trl carries."""
    found = importlib.util.find_spec("trl")
    if found is None or not found.submodule_search_locations:
        pytest.skip("trl is not installed")
    return Path(next(iter(found.submodule_search_locations))) / "chat_templates"


def real_template(name: str) -> Template | None:
    """One of them by its name; None if there is none."""
    file = templates_of_trl() / f"{name}.jinja"
    if not file.is_file():
        return None
    source, base = file.read_text(encoding="utf-8"), name.removesuffix("_training")
    end = _ENDS.get(base, "<|im_end|>")
    special = frozenset({*_TOKENS.findall(source), "<bos>", "<|im_start|>", "<|im_end|>", end})
    named = {"bos_token": "<bos>", "eos_token": end}
    return Template(source, named, special, base in STRUCTURED)


def turn(role: str, text: str = "", reasoning: str = "", *calls: ToolCall) -> Message:
    parts = (Part("text", text),) if text else ()
    return Message(role, parts, reasoning, calls)  # type: ignore[arg-type]


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "Where."}},
            "required": ["city"],
        },
    },
}

_CALL = ToolCall("get_weather", {"city": "Rome"}, "abcdefghi")
_SUNNY = Message("tool", (Part("text", "sunny, 25"),), name="get_weather", tool_call_id="abcdefghi")

PLAIN = (turn("user", "Hello there"), turn("assistant", "Hi, good day"))
LONGER = (*PLAIN, turn("user", "And now?"), turn("assistant", "Nothing more"))
SYSTEM = (turn("system", "Be kind"), *PLAIN)
TOOLS = (
    turn("user", "Weather in Rome?"),
    turn("assistant", "", "", _CALL),
    _SUNNY,
    turn("assistant", "It is sunny."),
    turn("user", "Thanks"),
    turn("assistant", "Welcome"),
)
THOUGHT = (turn("user", "Hello there"), turn("assistant", "Hi, good day", "greet back"))
THOUGHT_TWICE = (
    *THOUGHT,
    turn("user", "And now?"),
    turn("assistant", "Nothing more", "nothing left"),
)
