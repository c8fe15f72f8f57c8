"""Chats of tables, in the forms that people have."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mmft_chat.chat_table import build, describe
from mmft_chat.conversations import Conversation
from mmft_chat.options import ChatTableOptions
from mmft_core.contracts import DatasetContext, Split
from mmft_core.data.splits import Joined
from mmft_core.errors import DataError, SampleError

CONTEXT = DatasetContext(target="text")


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(file, "PNG")
    return file.getvalue()


def table(folder: Path, rows: list[dict[str, Any]], name: str = "chats.jsonl") -> Path:
    path = folder / name
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif name.endswith(".jsonl"):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def rows_of(path: Path, *, context: DatasetContext = CONTEXT, **options: Any) -> Split:
    """All rows, in the order of the table."""
    found = build(ChatTableOptions(path=str(path), val=0, test=0, **options), context)
    return Joined(found.splits.values())


def chats(path: Path, **options: Any) -> list[Conversation]:
    split = rows_of(path, **options)
    found = {split.sample_id(i): split[i].inputs["chat"] for i in range(len(split))}
    return [found[key] for key in sorted(found)]


def said(chat: Conversation) -> list[tuple[str, str]]:
    return [(message.role, message.answer) for message in chat.messages]


SAID = [("user", "Hi"), ("assistant", "Hello")]

FORMS: dict[str, dict[str, Any]] = {
    "openai": {
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    },
    "parts": {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]},
        ]
    },
    "sharegpt": {
        "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
    },
    "alpaca": {"instruction": "Hi", "input": "", "output": "Hello"},
    "prompt": {"prompt": "Hi", "completion": "Hello"},
    "prompt-messages": {
        "prompt": [{"role": "user", "content": "Hi"}],
        "completion": [{"role": "assistant", "content": "Hello"}],
    },
    "question": {"question": "Hi", "answer": "Hello"},
    "preference": {"prompt": "Hi", "chosen": "Hello", "rejected": "What?"},
}


@pytest.mark.parametrize("name", ["chats.jsonl", "chats.json", "chats.parquet"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_from_every_kind_of_file(tmp_path: Path, form: str, name: str) -> None:
    (chat,) = chats(table(tmp_path, [FORMS[form]], name))
    assert said(chat) == SAID


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ("openai", "chats from column 'messages'"),
        ("sharegpt", "chats from column 'conversations'"),
        ("alpaca", "questions from column 'instruction' and 'input', answers from column 'output'"),
        ("preference", "preferences: 'chosen' is preferred to 'rejected', prompts from 'prompt'"),
    ],
)
def test_what_was_detected_is_told(tmp_path: Path, form: str, told: str) -> None:
    path = table(tmp_path, [FORMS[form]])
    assert told in describe(ChatTableOptions(path=str(path)), CONTEXT)
    assert told in build(ChatTableOptions(path=str(path), val=0, test=0), CONTEXT).info.notes


def test_alpaca_puts_the_input_below_the_instruction(tmp_path: Path) -> None:
    row = {"instruction": "Add", "input": "1, 2", "output": "3"}
    (chat,) = chats(table(tmp_path, [row]))
    assert said(chat) == [("user", "Add\n\n1, 2"), ("assistant", "3")]


def test_columns_of_any_name_can_be_given(tmp_path: Path) -> None:
    row = {"q": "Hi", "a": "Hello", "prompt": "other", "system": "Be kind"}
    (chat,) = chats(table(tmp_path, [row]), question_column="q", answer_column="a")
    assert said(chat) == [("system", "Be kind"), *SAID]


def test_tools_and_their_calls_keep_exactly_what_stands_in_the_file(tmp_path: Path) -> None:
    """Also where rows have other arguments, which one type for all would mix, and null."""

    def row(arguments: Any) -> dict[str, Any]:
        call = {"type": "function", "function": {"name": "f", "arguments": arguments}}
        return {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "content": "7"},
                {"role": "assistant", "content": "Seven"},
            ],
            "tools": [{"name": "f", "parameters": {"type": "object"}}],
        }

    given = [{"a": 1}, {"b": None}, {"a": 2}]
    path = table(tmp_path, [row(given[0]), row(given[1]), row(json.dumps(given[2]))])
    found = chats(path)
    assert [dict(chat.messages[1].tool_calls[0].arguments) for chat in found] == given
    assert found[0].tools[0]["function"]["name"] == "f"


def test_a_reasoning_and_calls_of_sharegpt_are_read(tmp_path: Path) -> None:
    openai = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello", "reasoning_content": "greet"},
    ]
    sharegpt = [
        {"from": "human", "value": "Hi"},
        {"from": "function_call", "value": '{"name": "f", "arguments": {"x": "y"}}'},
        {"from": "observation", "value": "done"},
        {"from": "gpt", "value": "Hello"},
    ]
    one, other = chats(table(tmp_path, [{"messages": openai}, {"messages": sharegpt}]))
    assert one.messages[1].reasoning == "greet"
    assert [m.role for m in other.messages] == ["user", "assistant", "tool", "assistant"]
    assert other.messages[1].tool_calls[0].arguments == {"x": "y"}


@pytest.mark.parametrize("name", ["chats.jsonl", "chats.parquet"])
def test_pictures_come_as_paths_data_urls_and_bytes(tmp_path: Path, name: str) -> None:
    (tmp_path / "red.png").write_bytes(picture())
    url = "data:image/png;base64," + base64.b64encode(picture()).decode()
    held: Any = "red.png" if name.endswith("jsonl") else {"bytes": picture(), "path": "red.png"}
    content = [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": "What is this?"},
    ]
    answer = {"role": "assistant", "content": [{"type": "text", "text": "Red"}]}
    rows = [{"messages": [{"role": "user", "content": content}, answer]}]
    asked = [{"image": held, "question": "What is this?", "answer": "Red"}]
    placed = [{"images": [held, held], "question": "Is <image> like <image>?", "answer": "Yes"}]
    first, second, third = (rows_of(table(tmp_path, own, name)) for own in (rows, asked, placed))
    kinds = [
        [part.kind for part in split[0].inputs["chat"].messages[0].parts]
        for split in (first, second, third)
    ]
    assert kinds == [
        ["image", "text"],
        ["image", "text"],
        ["text", "image", "text", "image", "text"],
    ]
    for split in (first, second, third):
        split.check(0)


PICTURE = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "?"}]}
ANSWER = {"role": "assistant", "content": "Hello"}
ASKED = {"role": "user", "content": "Hi"}


def called(arguments: Any) -> dict[str, Any]:
    function = {"name": "f", "arguments": arguments}
    return {"role": "assistant", "tool_calls": [{"function": function}]}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no answer": ({"messages": [ASKED]}, "it has no assistant turn"),
    "unanswered": ({"messages": [ASKED, ANSWER, ASKED]}, "its last turn has the role user"),
    "order": (
        {"messages": [ASKED, ASKED, ANSWER]},
        "its roles are out of order: turn 2 (user) follows a user turn",
    ),
    "assistant first": ({"messages": [ANSWER]}, "turn 1 (assistant) comes first"),
    "empty": (
        {"messages": [ASKED, {"role": "assistant", "content": " "}]},
        "turn 2 (assistant) has an empty answer",
    ),
    "role": ({"messages": [{"role": "cat", "content": "x"}, ANSWER]}, "has the role 'cat'"),
    "no list": ({"messages": {"a": 1}}, "its messages are not a list"),
    "placeholder": (
        {"images": [], "messages": [PICTURE, ANSWER]},
        "it has 1 placeholder for a picture and no pictures",
    ),
    "no placeholder": (
        {"images": ["a.png"], "messages": [ASKED, ANSWER]},
        "it has 1 picture and no placeholders for a picture",
    ),
    "missing": ({"image": "b.png", "question": "?", "answer": "x"}, "b.png: there is no such file"),
    "no picture": ({"image": "x.png", "question": "?", "answer": "x"}, "x.png cannot be read"),
    "call": ({"messages": [ASKED, called("{a: 1}")]}, "of the tool call f are not JSON"),
    "arguments": ({"messages": [ASKED, called([1])]}, "of the tool call f are not an object"),
    "equal": ({"prompt": "Hi", "chosen": "a", "rejected": "a"}, "its two sides are equal"),
    "data": (
        {"image": "data:image/png;base64,?", "question": "?", "answer": "x"},
        "is not valid base64",
    ),
    "address": ({"image": "https://x/y.png", "question": "?", "answer": "x"}, "is not fetched"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_told_in_one_sentence_with_its_place(tmp_path: Path, name: str) -> None:
    row, reason = BAD[name]
    (tmp_path / "x.png").write_bytes(b"no picture")
    split = rows_of(table(tmp_path, [row]))
    with pytest.raises(SampleError) as told:
        split.check(0)
    message = str(told.value)
    assert message.startswith("chats.jsonl, row 1: ") and reason in message
    assert "\n" not in message and message.endswith(".") and not message.endswith("..")


def test_what_is_to_be_predicted_needs_no_answer(tmp_path: Path) -> None:
    context = DatasetContext(target="none", training=False)
    split = rows_of(table(tmp_path, [{"question": "Hi"}]), context=context)
    split.check(0)
    assert said(split[0].inputs["chat"]) == [("user", "Hi")]
    assert split[0].target is None


def test_a_table_of_no_chats_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, [{"x": 1, "y": "z"}])
    with pytest.raises(DataError, match="no column that is clearly the messages"):
        rows_of(path)


def test_splits_and_groups_are_those_of_any_table(tmp_path: Path) -> None:
    rows = [{"question": f"q{k}", "answer": "a", "person": f"p{k % 5}"} for k in range(40)]
    options = ChatTableOptions(
        path=str(table(tmp_path, rows)), val=0.2, test=0.2, group_column="person"
    )
    splits = build(options, CONTEXT).splits
    people = [set(split.groups() or ()) for split in splits.values()]
    assert set(splits) == {"train", "val", "test"}
    assert not set.intersection(*people) and sum(map(len, people)) == 5


def test_what_a_sample_is_made_of_follows_its_files(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(picture())
    split = rows_of(table(tmp_path, [{"image": "x.png", "question": "?", "answer": "x"}]))
    origin = split.origin(0)
    assert origin is not None and origin.files == (tmp_path / "x.png",)
