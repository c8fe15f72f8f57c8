"""Chat templates: a conversation as the text that a model reads.

What a template makes of a chat is found out by rendering, never by reading its code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from transformers.utils.chat_template_utils import render_jinja_template

from mmft_chat.conversations import Message
from mmft_core.errors import first_line

Span = tuple[int, int]
"""From one character of a rendering up to another."""

_PROBE = "Zq7answerQz7"
_ASKED = "Zq8questionQz8"
_ARGUMENT = "Zq9argumentQz9"
_USER = {"role": "user", "content": "Zq6helloQz6"}
_TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks something up.",
        "parameters": {
            "type": "object",
            "properties": {"what": {"type": "string", "description": "What."}},
            "required": ["what"],
        },
    },
}
_rendering: Any = render_jinja_template  # Whose annotation is not what it returns.
_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")


@dataclass(frozen=True)
class Template:
    """A chat template with the special tokens of its tokenizer. It travels to worker processes.

    Attributes:
        source: in Jinja.
        named: special tokens by the names that templates call them by ("eos_token").
        special: the texts of all tokens that stand for themselves.
        structured: whether contents are always lists of parts, as processors want them.
    """

    source: str
    named: Mapping[str, str]
    special: frozenset[str]
    structured: bool = False

    @classmethod
    def of(cls, tokenizer: Any, source: str, *, structured: bool = False) -> Template:
        """A template for a tokenizer of transformers."""
        added = {str(token) for token in tokenizer.added_tokens_decoder.values()}
        special = frozenset(added | set(tokenizer.all_special_tokens))
        named = {k: v for k, v in tokenizer.special_tokens_map.items() if isinstance(v, str)}
        return cls(source, named, special, structured)

    @property
    def marks(self) -> bool:
        """Whether it says itself what an assistant writes, by `{% generation %}`."""
        return _GENERATION.search(self.source) is not None

    def render(
        self, messages: Sequence[Message], tools: Sequence[Any] = (), *, prompt: bool = False
    ) -> str:
        """A chat as text.

        Args:
            prompt: whether it ends with what the assistant's next turn begins with.

        Raises:
            ValueError: the template refuses it; says why.
        """
        return self._render([self.as_dict(m) for m in messages], tools, prompt=prompt)

    def marked(self, messages: Sequence[Message], tools: Sequence[Any] = ()) -> list[Span]:
        """What an assistant writes, as the template marks it."""
        _, spans = self._rendered([self.as_dict(m) for m in messages], tools, marks=True)
        return spans

    def as_dict(self, message: Message) -> dict[str, Any]:
        """A message as templates take it."""
        content: Any = message.text
        if self.structured or any(part.kind != "text" for part in message.parts):
            content = [
                {"type": "text", "text": part.text} if part.kind == "text" else {"type": part.kind}
                for part in message.parts
            ]
        found: dict[str, Any] = {"role": message.role, "content": content}
        if message.reasoning:
            found["reasoning_content"] = message.reasoning
            found["thinking"] = message.reasoning
        if message.name:
            found["name"] = message.name
        if message.tool_call_id:
            found["tool_call_id"] = message.tool_call_id
        if message.tool_calls:
            empty, as_text = self.calls
            found["content"] = content or empty
            found["tool_calls"] = [
                _call(c.name, c.arguments, c.id, as_text=as_text) for c in message.tool_calls
            ]
        return found

    @cached_property
    def calls(self) -> tuple[Any, bool]:
        """How it wants calls of tools: the content beside them, and whether arguments are JSON.

        The first way in which it renders a call whole; where there is none, that the call is
        missing will be found.
        """
        ways = [(empty, as_text) for as_text in (False, True) for empty in (None, "")]
        for empty, as_text in ways:
            call = _call("look_up", {"what": _ARGUMENT}, "call00001", as_text=as_text)
            turn = {"role": "assistant", "content": empty, "tool_calls": [call]}
            try:
                text = self._render([_USER, turn], [_TOOL])
            except ValueError:
                continue
            escaped = f'\\"{_ARGUMENT}' in text  # JSON within JSON.
            if "look_up" in text and _ARGUMENT in text and "None" not in text and not escaped:
                return empty, as_text
        return "", False

    @cached_property
    def tail(self) -> str:
        """What follows the answer that ends a chat.

        Raises:
            ValueError: the template renders no answer.
        """
        return self._after([_USER, self._plain("assistant", _PROBE)])

    @cached_property
    def between(self) -> str:
        """What stands between an answer and the user's next question: the end of the one turn and
        the beginning of the other; "" if the template takes one question alone."""
        turns = [_USER, self._plain("assistant", _PROBE), self._plain("user", _ASKED)]
        try:
            after = self._after([*turns, self._plain("assistant", "Zq5")])
        except ValueError:
            return ""
        return after.partition(_ASKED)[0]

    @cached_property
    def end(self) -> str:
        """What an answer ends with wherever it stands; "" if that differs.

        It is what is common to `tail` and `between`, up to its last token that stands for itself.
        """
        common = self.tail[: agreement(self.tail, self.between)]
        return common[: self.last_special(common)]

    @cached_property
    def middle_end(self) -> str:
        """What an answer ends with before the user's next question; "" for nothing."""
        return self.end or self.first_special(self.between)

    @cached_property
    def final_end(self) -> str:
        """What the answer that ends a chat ends with: all up to its last token for itself."""
        return self.tail[: self.last_special(self.tail)]

    @cached_property
    def closing(self) -> str:
        """What has to be added to a chat whose last answer the template does not end.

        Raises:
            ValueError: nothing ends an answer, so a model could not learn where to stop.
        """
        if self.final_end:
            return ""
        if not self.middle_end:
            raise ValueError(
                "the chat template does not end answers with a special token, so a model could not "
                "learn where to stop"
            )
        return self.middle_end.strip()

    def last_special(self, text: str) -> int:
        """Where the last token that stands for itself ends; 0 if there is none."""
        ends = [match.end() for match in self._special.finditer(text)]
        return ends[-1] if ends else 0

    def before_token(self, text: str, at: int) -> int:
        """A place, or the beginning of the token for itself that it lies in."""
        longest = max(map(len, self.special), default=0)
        for match in self._special.finditer(text, max(0, at - longest)):
            if match.start() >= at:
                break
            if at < match.end():
                return match.start()
        return at

    def first_special(self, text: str) -> str:
        """A text up to its first such token, if nothing but white space stands before it."""
        match = self._special.search(text)
        return text[: match.end()] if match and not text[: match.start()].strip() else ""

    @cached_property
    def _special(self) -> re.Pattern[str]:
        longest_first = sorted(self.special, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def _plain(self, role: str, text: str) -> dict[str, Any]:
        content: Any = [{"type": "text", "text": text}] if self.structured else text
        return {"role": role, "content": content}

    def _after(self, turns: list[dict[str, Any]]) -> str:
        text = self._render(turns, ())
        _, found, after = text.partition(_PROBE)
        if not found:
            raise ValueError("the chat template leaves out what the assistant says")
        return after

    def _render(
        self, messages: list[dict[str, Any]], tools: Sequence[Any], *, prompt: bool = False
    ) -> str:
        return self._rendered(messages, tools, prompt=prompt)[0]

    def _rendered(
        self,
        messages: list[dict[str, Any]],
        tools: Sequence[Any],
        *,
        prompt: bool = False,
        marks: bool = False,
    ) -> tuple[str, list[Span]]:
        if self.structured:
            messages = [_as_list(message) for message in messages]
        try:
            more: dict[str, Any] = {**self.named, "return_assistant_tokens_mask": marks}
            texts, spans = _rendering(
                conversations=[messages],
                tools=[dict(tool) for tool in tools] or None,
                chat_template=self.source,
                add_generation_prompt=prompt,
                **more,
            )
        except Exception as error:  # Templates raise what they like, and are anybody's code.
            raise ValueError(f"the chat template refuses it: {first_line(error)}") from None
        return texts[0], [(start, end) for start, end in spans[0]] if marks else []


def agreement(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginnings."""
    if other.startswith(one):
        return len(one)
    low, high = 0, min(len(one), len(other))
    while low < high:  # Comparing halves is faster than going through characters.
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def _as_list(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, str):
        return {**message, "content": [{"type": "text", "text": content}]}
    return message


def _call(name: str, arguments: Any, id_: str, *, as_text: bool) -> dict[str, Any]:
    own = json.dumps(arguments, ensure_ascii=False) if as_text else dict(arguments)
    call = {"type": "function", "function": {"name": name, "arguments": own}}
    return {"id": id_, **call} if id_ else call
