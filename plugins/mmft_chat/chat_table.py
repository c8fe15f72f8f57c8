"""A table of chats, in the forms that people have."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa

from mmft_chat.conversations import (
    Conversation,
    Kind,
    Message,
    Part,
    check_learnable,
    check_order,
)
from mmft_chat.media import check_media, media_of
from mmft_chat.options import ChatTableOptions
from mmft_chat.preference_data import check_pair, label_of, prompt_length, side_of
from mmft_chat.reading import as_text, messages_of, text_or_messages, tools_of, with_media
from mmft_core.contracts import Dataset, DatasetContext, Origin, Sample, Split
from mmft_core.data import is_table_folder
from mmft_core.errors import SampleError
from mmft_core.utils import suffix_of
from mmft_tables.class_targets import Targets
from mmft_tables.divided_table import divided_table
from mmft_tables.json_rows import json_records
from mmft_tables.tables import Table, open_table

Form = Literal["messages", "columns", "preferences"]

_MESSAGES = ("messages", "conversations", "conversation", "dialog", "dialogue", "chat")
_QUESTIONS = ("prompt", "instruction", "question", "query", "problem")
_ANSWERS = ("completion", "response", "output", "answer", "answers", "solution")
_CONTEXTS = ("input", "context")
_SYSTEMS = ("system", "system_prompt")
_TOOLS = ("tools", "functions")
_TYPES = ("question_type", "answer_type", "category")
_MEDIA: Mapping[Kind, tuple[str, ...]] = {
    "image": ("images", "image", "pictures", "picture", "image_path"),
    "audio": ("audios", "audio", "recordings", "recording", "audio_path"),
}
_ONE_JSON = pa.list_(pa.string(), 1)
"""As tables have nested values that no type fits."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where in a table its chats are.

    Attributes:
        messages: the column of whole chats, or of those that were liked more.
        rejected: of those that were liked less.
        label: whether an answer is desirable.
        question, context, answer: what user and assistant say; of preferences the question alone.
    """

    form: Form
    messages: str | None = None
    rejected: str | None = None
    label: str | None = None
    question: str | None = None
    context: str | None = None
    answer: str | None = None
    system: str | None = None
    tools: str | None = None
    kind: str | None = None
    media: Mapping[Kind, str]

    @property
    def columns(self) -> list[str]:
        own = (self.messages, self.rejected, self.question, self.context, self.answer)
        more = (self.label, self.system, self.tools, self.kind, *self.media.values())
        return [column for column in (*own, *more) if column is not None]

    def notes(self) -> list[str]:
        """What was taken for what, in words."""
        asked = " and ".join(f"'{c}'" for c in (self.question, self.context) if c is not None)
        if self.form == "preferences":
            prompt = f", prompts from {asked}" if asked else ""
            main = f"preferences: '{self.messages}' is preferred to '{self.rejected}'{prompt}"
        elif self.form == "messages":
            main = f"chats from column '{self.messages}'"
        else:
            answers = f"answers from column '{self.answer}'" if self.answer else "no answers"
            main = f"questions from column {asked}, {answers}"
        if self.label is not None:
            main += f", desirable where '{self.label}' is true"
        more = {"system messages": self.system, "tools": self.tools, "question types": self.kind}
        more |= {"pictures": self.media.get("image"), "recordings": self.media.get("audio")}
        return [main, *(f"{what} from column '{c}'" for what, c in more.items() if c is not None)]


def build(options: ChatTableOptions, context: DatasetContext) -> Dataset:
    """Read the table. Paths in it are relative to it.

    Raises:
        DataError: the table is missing, or has no columns of chats.
    """
    table = open_table(options, "chat-table")
    layout = find_layout(table, options, context)
    rows = ChatRows(table, layout, learned=context.training, target=context.target)
    targets = Targets(None, np.zeros(len(table), dtype=np.int64))
    paired = layout.form == "preferences"
    found = replace(
        options,
        messages_column=None if paired else layout.messages,
        question_column=layout.question,
        answer_column=layout.answer,
        chosen_column=layout.messages if paired else None,
        rejected_column=layout.rejected,
        label_column=layout.label,
    )
    return divided_table(table, rows, targets, options, context, notes=layout.notes(), found=found)


def describe(options: ChatTableOptions, context: DatasetContext) -> list[str]:
    """Say what the columns were taken for.

    Raises:
        DataError: as `build`.
    """
    table = open_table(options, "chat-table")
    layout = find_layout(table, options, context)
    return [*table.notes, *layout.notes(), *(f"! {warning}" for warning in table.warnings)]


def find_layout(table: Table, options: ChatTableOptions, context: DatasetContext) -> Layout:
    """Find out in which form a table has its chats.

    Raises:
        DataError: it has them in none, or lacks a column that the options name.
    """
    needed = not context.only_inputs

    def column(given: str | None, option: str, names: Sequence[str]) -> str | None:
        return table.find_column(given, option, names, needed=needed)

    system = column(options.system_column, "system_column", _SYSTEMS)
    tools = column(options.tools_column, "tools_column", _TOOLS)
    kind = column(options.type_column, "type_column", _TYPES)
    given = {"image": options.image_column, "audio": options.audio_column}
    found = {k: column(given[k], f"{k}_column", names) for k, names in _MEDIA.items()}
    media = {kind: name for kind, name in found.items() if name is not None}
    layout = partial(Layout, system=system, tools=tools, kind=kind, media=media)
    question = column(options.question_column, "question_column", _QUESTIONS)
    if options.messages_column is None and options.answer_column is None:
        chosen = column(options.chosen_column, "chosen_column", ("chosen",))
        rejected = column(options.rejected_column, "rejected_column", ("rejected",))
        if chosen is not None and rejected is not None:
            return layout(form="preferences", messages=chosen, rejected=rejected, question=question)
    label = None
    if context.target == "preference":
        label = column(options.label_column, "label_column", ("label",))
        if label is None:
            what = "chosen and rejected answers (or labels of single ones)"
            raise table.missing_column(what, "chosen_column")
    if options.question_column is None and options.answer_column is None:
        whole = column(options.messages_column, "messages_column", _MESSAGES)
        if whole is not None:
            return layout(form="messages", messages=whole, label=label)
    answer = column(options.answer_column, "answer_column", _ANSWERS)
    if question is None or (answer is None and needed):
        what = "messages (or questions and answers)" if question is None else "answer"
        raise table.missing_column(what, "messages_column" if question is None else "answer_column")
    context_column = column(None, "", _CONTEXTS)
    return layout(
        form="columns", question=question, context=context_column, answer=answer, label=label
    )


class ChatRows(Split):
    """The chats of a table's rows. One that cannot be read stays in, so that the check reports it.

    Args:
        learned: whether each has to have an answer.
        target: "text", the last answer; "preference", both sides of a pair, or an answer with its
            label; or "none".
    """

    def __init__(self, table: Table, layout: Layout, *, learned: bool, target: str) -> None:
        self.row_id, self.layout, self.folder = table.row_id, layout, table.folder
        self.cells = _cells(table, layout.columns)
        self.learned, self.wanted = learned, target

    def __len__(self) -> int:
        return len(next(iter(self.cells.values())))

    def sample_id(self, index: int) -> str:
        return self.row_id(index)

    def __getitem__(self, index: int) -> Sample:
        chat = self._chat(index)
        column = self.layout.kind
        kind = "" if column is None else as_text(self.cell(column, index)).strip()
        return Sample({"chat": chat}, self._target(chat, index), self.sample_id(index), kind)

    def _target(self, chat: Conversation, index: int) -> Any:
        if self.wanted == "text":
            return chat.answer or None
        if self.wanted == "none":
            return None
        if self.layout.label is not None:
            return {"answer": chat.answer, "label": label_of(self.cell(self.layout.label, index))}
        return pair_of(chat)

    def origin(self, index: int) -> Origin:
        values = [self.cell(column, index) for column in self.layout.columns]
        try:
            media = self._chat(index).media()
        except SampleError:  # Of which the check of the data tells.
            media = []
        return Origin(values, tuple(m for m in media if isinstance(m, Path)))

    def check(self, index: int) -> None:
        chat = self._chat(index)
        for message in (*chat.messages, *chat.rejected):
            for part in message.parts:
                if part.media is not None:
                    try:
                        check_media(part.media, part.kind)
                    except ValueError as error:
                        raise SampleError(self.sample_id(index), str(error)) from None

    def sizes(self) -> Sequence[float]:
        return self._sizes

    @cached_property
    def _sizes(self) -> list[float]:
        """Characters of each chat; 0 for what cannot be read."""
        return [self._size(index) for index in range(len(self))]

    def _size(self, index: int) -> float:
        try:
            chat = self._chat(index)
            return float(sum(len(m.answer) for m in (*chat.messages, *chat.rejected)))
        except SampleError:
            return 0.0

    def cell(self, column: str, index: int) -> Any:
        """What stands in a row's column; None for nothing."""
        value = self.cells[column][index].as_py()
        if self.cells[column].type == _ONE_JSON:
            return None if value is None else json.loads(value[0])
        return _lean(value)

    def _chat(self, index: int) -> Conversation:
        try:
            return self._read(index)
        except ValueError as error:
            raise SampleError(self.sample_id(index), str(error)) from None

    def _read(self, index: int) -> Conversation:
        layout = self.layout

        def cell(column: str | None) -> Any:
            return None if column is None else self.cell(column, index)

        media = {
            kind: self._media(cell(layout.media.get(kind))) if kind in layout.media else []
            for kind in _MEDIA
        }
        system = as_text(cell(layout.system))
        tools = tools_of(cell(layout.tools))

        def finished(messages: Sequence[Message]) -> tuple[Message, ...]:
            if system and messages[0].role != "system":
                messages = [Message("system", (Part("text", system),)), *messages]
            whole = with_media(messages, media, anywhere=layout.form != "messages")
            check_order(whole)
            if self.learned:
                check_learnable(whole)
            return tuple(whole)

        if layout.label is not None:
            label_of(cell(layout.label))
        if layout.form == "messages":
            messages = messages_of(cell(layout.messages), self.folder)
            return Conversation(finished(messages), tools)
        prompt = self._prompt(cell(layout.question), cell(layout.context))
        if layout.form == "columns":
            answer = cell(layout.answer)
            said = text_or_messages(answer, "assistant", self.folder)
            if layout.label is not None and sum(m.role == "assistant" for m in said) > 1:
                raise ValueError("it has one label for several answers: give each its own row")
            there = layout.answer is not None and (self.learned or as_text(answer).strip())
            return Conversation(finished([*prompt, *(said if there else ())]), tools)
        asked = None if layout.question is None else prompt
        one, other = (
            side_of(asked, cell(column), name, self.folder)
            for column, name in ((layout.messages, "chosen"), (layout.rejected, "rejected"))
        )
        chosen, rejected = finished(one), finished(other)
        check_pair(chosen, rejected)
        return Conversation(chosen, tools, rejected)

    def _prompt(self, question: Any, context: Any) -> list[Message]:
        if isinstance(question, list):
            return messages_of(question, self.folder)
        asked = "\n\n".join(filter(None, [as_text(question), as_text(context)]))
        return text_or_messages(asked, "user", self.folder) if self.layout.question else []

    def _media(self, value: Any) -> list[Any]:
        values = value if isinstance(value, list) else [value]
        found = [media_of(item, self.folder) for item in values]
        return [item for item in found if item is not None]


def pair_of(chat: Conversation) -> dict[str, str]:
    """The answers of both sides of a chat, as a target."""
    shared = prompt_length(chat.messages, chat.rejected)
    sides = {"chosen": chat.messages, "rejected": chat.rejected}
    return {
        name: "\n\n".join(message.answer for message in side[shared:])
        for name, side in sides.items()
    }


def _cells(table: Table, columns: Sequence[str]) -> dict[str, pa.ChunkedArray]:
    """Columns by name; those of JSON files that are nested as their JSON, see `json_records`."""
    cells = {name: table.arrow(name) for name in columns}
    nested = [name for name, column in cells.items() if pa.types.is_nested(column.type)]
    whole = not is_table_folder(table.path) and suffix_of(table.path).startswith(".json")
    if nested and whole:
        exact: dict[str, list[Any]] = {name: [] for name in nested}
        for record in json_records(table.path):
            for name in nested:
                value = record.get(name)
                exact[name].append(None if value is None else [_encode(value).decode()])
        cells |= {n: pa.chunked_array([pa.array(v, _ONE_JSON)]) for n, v in exact.items()}
    return cells


_encode: Callable[[Any], bytes] = msgspec.json.encode


def _lean(value: Any) -> Any:
    """A nested value of Arrow without the names that only other rows have."""
    if isinstance(value, Mapping):
        return {key: _lean(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_lean(item) for item in value]
    return value
