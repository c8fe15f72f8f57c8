"""Which part of a rendered chat is learned, proven from the template itself.

What an assistant is to learn of a turn begins where the generation prompt ends, and ends with the
token by which a turn ends. Where a template marks that by `{% generation %}`, its marks are taken.
Elsewhere the place follows from comparing renderings:

- The rendering of all messages and that of the messages before the turn, with the generation
  prompt, agree up to where the turn begins.
- A turn ends where the rendering up to and with it ends, if the whole begins with that. If not
  (templates write an answer that ends a chat in another way, or leave out what was thought in
  earlier ones), it ends as the template ends answers before a question, before the place where
  the rendering changes when the next message does.

If part of a turn is missing from its span, such as a thought that the template drops, the chat is
refused: nobody would notice that it is not learned.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

from mmft_chat.conversations import Message, Part
from mmft_chat.templates import Span, Template, agreement

Learn = Literal["assistant", "last", "all"] | int
"""Which turns are learned: all of the assistant's, the last one, everything, or so many of the
last."""

_OTHER = "Zq4otherQz4"
_THOUGHTS = re.compile(r"</?think(?:ing)?>")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A chat as text, with the parts (start, end) that are learned, in order.

    Attributes:
        begins: where the last of the assistant's turns begins.
    """

    text: str
    spans: tuple[Span, ...]
    begins: int


def rendered(
    template: Template, messages: Sequence[Message], tools: Sequence[Any], learn: Learn
) -> Rendered:
    """Render a chat, and find what is learned of it.

    Raises:
        ValueError: the template refuses it, leaves something out, or what is learned cannot be
            proven; says why.
    """
    text = template.render(messages, tools)
    turns = [k for k, message in enumerate(messages) if message.role == "assistant"]
    if not turns:
        raise ValueError("it has no assistant turn, so there is nothing to learn")
    _check_nothing_lost(template, messages, text)
    if messages[-1].role == "assistant":
        text += template.closing
    found = _marked(template, messages, tools, text, turns) if template.marks else {}
    last = 1 if learn == "last" else learn
    wanted = turns[-last:] if isinstance(last, int) else turns
    for k in wanted:
        if k not in found:
            found[k] = _compared(template, messages, tools, text, k)
        start, end = found[k]
        if not text[start:end].strip():
            raise ValueError(f"the chat template leaves nothing of turn {k + 1} to learn")
        _check_whole(messages[k], k, text[start:end])
    spans = ((0, len(text)),) if learn == "all" else tuple(found[k] for k in wanted)
    if any(one[1] > other[0] for one, other in pairwise(spans)):
        raise ValueError("the chat template renders turns in another order")
    return Rendered(text, spans, found[turns[-1]][0])


def prompt_of(template: Template, messages: Sequence[Message], tools: Sequence[Any]) -> str:
    """What a model is given to write the next turn: all that stands before it where it is learned.

    Mostly that is the rendering with the generation prompt; where a template's generation prompt
    begins what trained turns do not begin with (a thought), it is as in training.

    Raises:
        ValueError: the template refuses it.
    """
    answered = [*messages, Message("assistant", (Part("text", _OTHER),))]
    try:
        whole = rendered(template, answered, tools, "last")
    except ValueError:
        return template.render(messages, tools, prompt=True)
    return whole.text[: whole.begins]


def _compared(
    template: Template, messages: Sequence[Message], tools: Sequence[Any], text: str, k: int
) -> Span:
    start = _start(template, messages, tools, text, k)
    end = _end(template, messages, tools, text, k, start)
    if end is None or end <= start:
        raise ValueError(
            f"the end of turn {k + 1} cannot be proven from the chat template, which renders a "
            "turn differently when others follow"
        )
    return start, end


def _start(
    template: Template, messages: Sequence[Message], tools: Sequence[Any], text: str, k: int
) -> int:
    """Where a turn begins, after the generation prompt."""
    plain = template.render(messages[:k], tools)
    given = template.render(messages[:k], tools, prompt=True)
    if text.startswith(given):
        return len(given)
    # The generation prompt begins with more than the turn does, such as a thought; or an earlier
    # turn is rendered in another way when this one follows. Then the header, or as much of it as
    # there is, is looked for between what changes with the message before and with this one.
    header = given[agreement(plain, given) :]
    before, here = (
        agreement(text, template.render([*messages[:at], changed, *messages[at + 1 :]], tools))
        for at, changed in ((k - 1, _other(messages[k - 1])), (k, _other(messages[k])))
    )
    least = len(template.first_special(header)) or len(header)
    for length in range(len(header), least - 1, -1):
        at = text.rfind(header[:length], before, here)
        if header and at >= 0:
            return template.before_token(text, at + length)
    raise ValueError(
        f"the start of turn {k + 1} cannot be proven from the chat template, because the turn does "
        "not start with its generation prompt"
    )


def _other(message: Message) -> Message:
    return replace(message, parts=(Part("text", _OTHER),), reasoning="", tool_calls=())


def _end(
    template: Template, messages: Sequence[Message], tools: Sequence[Any], text: str, k: int,
    start: int,
) -> int | None:  # fmt: skip
    """Where a turn ends, after the token that ends it; None if that cannot be proven."""
    if k == len(messages) - 1:
        return len(text.rstrip())
    upto = template.render(messages[: k + 1], tools)
    if text.startswith(upto):
        end = len(upto.rstrip())
        return end if template.final_end else end + len(template.first_special(text[end:]))
    if template.tail and upto.endswith(template.tail):
        body = upto[: len(upto) - len(template.tail)] + template.middle_end
        if template.middle_end and text.startswith(body):
            return len(body)
    if messages[k + 1].role == "user" and template.between and template.middle_end:
        following = replace(messages[k + 1], parts=(Part("text", _OTHER),))
        changed = template.render([*messages[: k + 1], following, *messages[k + 2 :]], tools)
        before, found, _ = changed.partition(_OTHER)
        if found and text.startswith(before) and before.endswith(template.between):
            return len(before) - len(template.between) + len(template.middle_end)
    # What it begins with is left out, as a thought; the rest is as where it ends the chat.
    own = upto[agreement(text, upto) :].rstrip()
    for skipped in range(1, len(own) if template.final_end else 0):
        if text.startswith(own[skipped:], start):
            return start + len(own) - skipped
    return None


def _marked(
    template: Template, messages: Sequence[Message], tools: Sequence[Any], text: str,
    turns: Sequence[int],
) -> dict[int, Span]:  # fmt: skip
    """The template's own marks by turn, with the tokens that end turns.

    Raises:
        ValueError: they are not one for each turn.
    """
    marks = [span for span in template.marked(messages, tools) if span[0] < span[1]]
    joined: list[Span] = []
    for start, end in marks:  # Some are in pieces, as that of the end of a text.
        if joined and not text[joined[-1][1] : start].strip():
            joined[-1] = joined[-1][0], end
        else:
            joined.append((start, end))
    if len(joined) != len(turns):
        raise ValueError(
            f"the chat template marks {len(joined)} turns as generated, but the assistant has "
            f"{len(turns)}"
        )
    return {k: _trimmed(template, text, span) for k, span in zip(turns, joined, strict=True)}


def _trimmed(template: Template, text: str, span: Span) -> Span:
    """A mark without white space after the token that ends the turn, and with that token."""
    start, end = span
    while start < end and text[start:end][-1:].isspace():
        end -= 1
    if template.last_special(text[start:end]) != end - start:
        following = template.first_special(text[end:])
        end += len(following)
    return start, end


def _check_nothing_lost(template: Template, messages: Sequence[Message], text: str) -> None:
    """Check that the template renders every message that is not the assistant's."""
    for k, message in enumerate(messages):
        if message.role == "assistant":
            continue
        for part in message.parts:
            if not _stands_in(text, part.text.strip()):
                raise ValueError(f"the chat template leaves out turn {k + 1} ({message.role})")


def _check_whole(message: Message, k: int, learned: str) -> None:
    """Check that all of a turn stands in what is learned of it."""
    for what, said in _pieces(message):
        if not _stands_in(learned, said):
            raise ValueError(f"the chat template drops {what} of turn {k + 1}")


def _stands_in(text: str, said: str) -> bool:
    """Whether a text has in it what is said, as it is or as in JSON."""
    return said in text or json.dumps(said, ensure_ascii=False)[1:-1] in text


def _pieces(message: Message) -> Iterator[tuple[str, str]]:
    for part in message.parts:
        for piece in _THOUGHTS.split(part.text):
            yield "a part of the text", piece.strip()
    yield "the reasoning", message.reasoning.strip()
    for call in message.tool_calls:
        yield "the tool call", call.name
        for value in _leaves(call.arguments):
            yield f"an argument of the tool call {call.name}", value


def _leaves(value: Any) -> Iterator[str]:
    """The texts in the arguments of a call; numbers are written in too many ways."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, str):
        yield value.strip()
