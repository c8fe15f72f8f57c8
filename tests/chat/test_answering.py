"""Answers that are told while they are written, and the calls of tools in them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest
from transformers import LlamaConfig, LlamaForCausalLM, RwkvConfig, RwkvForCausalLM

from mmft_chat.answering import chat_of
from mmft_chat.backbone import ChatBackbone, together
from mmft_chat.conversations import ToolCall, asked
from mmft_chat.networks import ignores_padding
from mmft_chat.options import ChatOptions
from mmft_chat.task import Chat
from mmft_chat.tool_calls import split_calls
from mmft_chat.watching import Watch
from tests.chat.test_chat import backbone, tokenizer

__all__ = ["tokenizer"]


class Bytes:
    """A tokenizer whose tokens are bytes."""

    def decode(self, ids: Sequence[int], **_: Any) -> str:
        return bytes(ids).decode("utf-8", "replace")


END = 255
"""A byte that no text has."""


def told(
    text: str,
    stop: Sequence[str] = (),
    hides: str = "",
    *,
    opens: bool = False,
    most: int = 100,
    pieces_wanted: int = 100,
) -> tuple[tuple[str, str], tuple[str, str], Watch]:
    """What was told piece by piece, what was given in the end, and who followed."""
    pieces: list[tuple[str, str]] = []

    def show(thought: str, said: str) -> bool:
        pieces.append((thought, said))
        return len(pieces) < pieces_wanted

    watch = Watch(Bytes(), show, most=most, ends=[END], stop=stop, hides=hides, opens=opens)
    for byte in text.encode():
        watch.put(byte)
    final = watch.finished()
    thought, said = ("".join(each) for each in zip(*pieces, strict=True)) if pieces else ("", "")
    return (thought, said), final, watch


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello there", ("", "Hello there")),
        ("  zwölf 🙂\nlines\n", ("", "zwölf 🙂\nlines")),
        ("<think>first</think>\n\nthen", ("first", "then")),
        ("<thin air>", ("", "<thin air>")),
        ("<th", ("", "<th")),
        ("<think>never done", ("never done", "")),
    ],
)
def test_pieces_add_up_to_the_answer(text: str, expected: tuple[str, str]) -> None:
    pieces, final, _ = told(text)
    assert pieces == final == expected


def test_a_thought_may_begin_in_the_prompt() -> None:
    assert told("hm</think>yes", opens=True)[:2] == (("hm", "yes"), ("hm", "yes"))


def test_an_answer_ends_before_a_text_that_is_never_told() -> None:
    pieces, final, watch = told("one, two, three", stop=["four", ", th"])
    assert watch.stopped and watch.done and pieces == final == ("", "one, two")
    assert len(watch.tokens) == len("one, two, th"), "what comes behind the end is no answer"
    pieces, final, watch = told("one, t", stop=[", two"])
    assert pieces == final == ("", "one, t") and not watch.stopped


def test_an_answer_ends_where_it_is_long_enough_or_nobody_listens() -> None:
    pieces, final, watch = told("one, two", most=3)
    assert pieces == final == ("", "one") and watch.done and not watch.stopped
    assert told("one, two", pieces_wanted=2)[0] == ("", "on")
    watch.put(END)
    assert not watch.stopped
    following = told("one")[2]
    following.put(END)
    assert following.done and following.stopped


def test_no_prompt_runs_out_of_positions_beside_others() -> None:
    """Rows that have ended go on beside those that have not."""
    assert together([3, 9, 5], [4, 4, 4], None) == [[1, 2, 0]]
    assert together([3, 9, 5], [4, 4, 7], 13) == [[1, 0], [2]]
    assert together([3, 3], [97, 97], 100) == [[0, 1]]


def test_calls_of_tools_are_not_told_as_text() -> None:
    text = 'Wait. <tool_call>{"name": "f", "arguments": {}}</tool_call>'
    pieces, final, _ = told(text, hides="<tool_call>")
    assert pieces == ("", "Wait.") and split_calls(final[1]) == ("Wait.", [ToolCall("f", {})])


def test_what_looks_like_a_call_and_is_none_is_told_in_the_end(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "Wait. <tool_call>nothing</tool_call>"

    def write(self: Any, inputs: Any, settings: Any, seeds: Any, ended: Any) -> None:
        for token in [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]:
            ended([token])

    monkeypatch.setattr(ChatBackbone, "write_each", write)
    task = Chat(backbone(tokenizer), ChatOptions(max_new_tokens=100))
    prepared = task.prepare_chat([{"role": "user", "content": "Hi"}], [{"name": "f"}])
    pieces: list[str] = []
    answer = task.answer_chat(prepared, show=lambda thought, said: pieces.append(said) is None)
    assert "".join(pieces) == answer.text == text


def test_nobody_waits_for_what_is_hidden_without_being_asked() -> None:
    _, _, watch = told("Hm <tool_call>" + "x" * 50, hides="<tool_call>", pieces_wanted=20)
    assert watch.done and len(watch.tokens) == 20


CALL = '{"name": "get_weather", "arguments": {"city": "Rome", "days": 2}}'
ROME = ToolCall("get_weather", {"city": "Rome", "days": 2})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"<tool_call>\n{CALL}\n</tool_call>", ("", [ROME])),
        (
            f"Let me see. <tool_call>{CALL}</tool_call><tool_call>{CALL}",
            ("Let me see.", [ROME] * 2),
        ),
        (CALL.replace("arguments", "parameters"), ("", [ROME])),
        (f"[{CALL}]", ("", [ROME])),
        (f"{CALL}\n{CALL}", ("", [ROME, ROME])),
        ('{"type": "function", "function": ' + CALL + "}", ("", [ROME])),
        ('{"name": "x", "arguments": "{\\"a\\": 1}"}', ("", [ToolCall("x", {"a": 1})])),
        ("<tool_call>nothing</tool_call>", ("<tool_call>nothing</tool_call>", [])),
        ('{"name": "Ada", "age": 3}', ('{"name": "Ada", "age": 3}', [])),
        ("42", ("42", [])),
        ("", ("", [])),
    ],
)
def test_calls_of_tools_are_found(text: str, expected: tuple[str, list[ToolCall]]) -> None:
    assert split_calls(text) == expected


PICTURE = {"type": "image_url", "image_url": {"url": "/etc/hostname"}}


@pytest.mark.parametrize(("who", "what"), [("role", "content"), ("from", "value")])
@pytest.mark.parametrize(
    "part",
    [
        PICTURE,
        {"type": "image", "path": "photo.png"},
        {"type": "image", "image": "https://example.org/x.png"},
        {"type": "image", "url": {"image": {"path": "photo.png"}}},
        {"type": "image_url", "image_url": "file:///etc/hostname"},
        {"type": "input_audio", "input_audio": {"data": "/etc/hostname"}},
    ],
)
def test_nothing_of_the_machine_is_opened_for_who_asks(
    tokenizer: Any, part: dict[str, Any], who: str, what: str
) -> None:
    """Neither in a chat nor in a prediction, for which it is a text like any other."""
    messages = [{who: "user", what: [part]}]
    with pytest.raises(ValueError, match="not a data: URL"):
        chat_of(messages)
    text = json.dumps(messages)
    assert backbone(tokenizer).processor.parse(text) == asked(text)


def test_a_chat_to_be_answered_ends_with_a_question() -> None:
    said = [("user", "Hi"), ("assistant", "Hello"), ("user", "Why?")]
    messages = [{"role": role, "content": text} for role, text in said]
    assert len(chat_of(messages).messages) == 3
    for wrong in itertools.chain([messages[:2]], [[messages[0]] * 2], [[{"role": "oracle"}]]):
        with pytest.raises(ValueError, match="turn"):
            chat_of(wrong)


def test_networks_that_read_padding_answer_chats_one_by_one() -> None:
    small: Any = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2}
    attending = LlamaForCausalLM(LlamaConfig(**small, intermediate_size=64, num_attention_heads=2))
    assert ignores_padding(attending, 1e-4)
    assert not ignores_padding(RwkvForCausalLM(RwkvConfig(**small)), 1e-4)
