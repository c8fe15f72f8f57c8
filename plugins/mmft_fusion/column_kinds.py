"""What the columns of a table hold, told from their cells."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from mmft_audio.recordings import RECORDINGS
from mmft_vision.image_folder import PICTURES

from mmft_core.data.cells import text_of
from mmft_core.data.class_folders import FileKind
from mmft_core.data.file_columns import holds_files, is_of
from mmft_core.data.row_files import ADDRESS
from mmft_core.data.tables import Table
from mmft_core.errors import ConfigError, DataError, did_you_mean
from mmft_fusion.options import ColumnKind

_LOOKED_AT = 1000
"""So many rows, spread over the table, decide what a column holds."""

_MOST = 0.9
"""Of its cells must be paths of one kind, or numbers, for a column of them."""

_WORDS = 4.0
"""Categories have no more words than this, on average."""

_MISSING = frozenset({"na", "n/a", "nan", "none", "null"})
"""What programs write into a column of numbers where there is none."""

_CODE = re.compile(r"0\d+")
_KEY = re.compile(r"(.*[_ -])?(id|uuid|guid|index|idx|key)", re.IGNORECASE)
_FILES: Mapping[ColumnKind, FileKind] = {"image": PICTURES, "audio": RECORDINGS}
_UNNAMED: tuple[ColumnKind, str] = "ignored", "it is not named"


@dataclass(frozen=True)
class Column:
    """A column, and what it holds.

    Attributes:
        reason: why it is thought to hold that; "" where the user said so.
    """

    name: str
    kind: ColumnKind
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.kind} ({self.reason or 'as told'})"


def find_kinds(
    table: Table, given: Mapping[str, ColumnKind], passed_over: Sequence[str], *, guess: bool
) -> list[Column]:
    """Tell what each column holds.

    Args:
        given: what the user said of some.
        passed_over: columns of targets and splits, which are no inputs.
        guess: look at the cells of columns of which nothing was said; else they are ignored.

    Raises:
        ConfigError: there is no such column.
        DataError: a column holds lists, records or bytes.
    """
    for name in given:
        if name not in table.columns:
            raise ConfigError(
                f"{table.path} has no column '{name}', which dataset.columns names."
                f"{did_you_mean(name, table.columns)}",
                hint=f"Its columns are: {', '.join(table.columns)}.",
            )
    columns = []
    for name in table.columns:
        if name in given:
            columns.append(Column(name, given[name]))
        elif name not in passed_over:
            columns.append(Column(name, *(_kind(table, name) if guess else _UNNAMED)))
    return columns


def _kind(table: Table, name: str) -> tuple[ColumnKind, str]:
    """What a column holds, and why that is thought."""
    form = table.arrow(name).type
    if holds_files(form):
        return _kind_of_content(table, name)
    if pa.types.is_nested(form):
        return "ignored", "its cells are lists or records"
    rows = np.linspace(0, len(table) - 1, min(_LOOKED_AT, len(table))).astype(int)
    cells = [table.cell(int(row), name) for row in np.unique(rows)]
    texts = [text for text in map(text_of, cells) if text]
    distinct = len(set(texts))
    if not texts:
        return "ignored", "it is empty"
    for kind, files in _FILES.items():
        if sum(text.lower().endswith(files.suffixes) for text in texts) >= _MOST * len(texts):
            if all(map(ADDRESS.match, texts)):
                return "ignored", f"addresses, from which nothing is fetched, such as {texts[0]}"
            return kind, f"paths such as {texts[0]}"
    if distinct == 1:
        return "ignored", f"it is always {texts[0]!r}"
    if _are_numbers(texts, cells):
        if distinct == len(texts) and _KEY.fullmatch(name):
            return "ignored", "every row has another number, by its name a key"
        return "number", f"{distinct} different numbers in {len(texts)} rows"
    return _kind_of_words(texts, distinct)


def _kind_of_content(table: Table, name: str) -> tuple[ColumnKind, str]:
    """What a column of bytes, or of records of bytes and path, holds."""
    for kind, files in _FILES.items():
        if is_of(table, name, files):
            return kind, f"the content of {files.noun}"
    return "ignored", "its bytes are neither pictures nor recordings"


def _kind_of_words(texts: Sequence[str], distinct: int) -> tuple[ColumnKind, str]:
    words = sum(len(text.split()) for text in texts) / len(texts)
    told = f"{distinct} different in {len(texts)} rows, {words:.1f} words each"
    if words <= _WORDS and distinct <= max(2, len(texts) / 2):
        return "category", told
    if words < 1.5:
        return "ignored", f"{told}: single words that hardly repeat"
    return "text", told


def _are_numbers(texts: Sequence[str], cells: Sequence[Any]) -> bool:
    """Whether a column is one of numbers, though a few cells may be none: by mistake, or because
    they mean that there is none. Words that come again beside few numbers are names, like "5+"."""
    if any(isinstance(cell, bool) for cell in cells) or any(map(_CODE.fullmatch, texts)):
        return False  # 007 is a name.
    texts = [text for text in texts if not is_missing(text)]
    others = [text for text in texts if not is_number(text)]
    if len(texts) - len(others) < _MOST * len(texts):
        return False
    if len(others) == len(texts):
        return False
    return len(set(others)) == len(others) or len(set(texts)) > len(texts) / 2


def is_missing(text: str) -> bool:
    """Whether a cell of a column of numbers says that there is none."""
    return not text or text.lower() in _MISSING


def is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def only_column(columns: Sequence[Column], kind: ColumnKind, table: Table) -> str | None:
    """The one column of a kind, if there is any.

    Raises:
        DataError: there are several.
    """
    names = [column.name for column in columns if column.kind == kind]
    if len(names) > 1:
        raise DataError(
            f"{table.path} has several columns of kind {kind}: {', '.join(names)}.",
            hint=f"Leave out all but one: --set dataset.columns.{names[1]}=ignored",
        )
    return names[0] if names else None
