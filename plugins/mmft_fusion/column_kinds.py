"""What the columns of a table hold, judged by their cells."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from mmft_audio.recordings import RECORDINGS
from mmft_core.errors import ConfigError, DataError, did_you_mean
from mmft_datasets.class_folders import FileKind
from mmft_fusion.column_formats import FORMATTED, Format, check_formats, kind_of_format
from mmft_fusion.options import ColumnKind
from mmft_fusion.resemblances import resembled
from mmft_tables.cells import text_of
from mmft_tables.file_columns import holds_files, is_of
from mmft_tables.row_files import ADDRESS
from mmft_tables.tables import Table
from mmft_tabular.dates import find_date_format, read_date
from mmft_tabular.number_format import find_number_format, is_missing
from mmft_vision.image_folder import PICTURES

_LOOKED_AT = 1000
"""Rows, spread over the table, that decide what a column holds; whether its values are all the
same, or all different, is decided by all rows."""

_MOST = 0.9
"""Share of its cells that must be paths of one kind, numbers or dates for a column of these."""

_WORDS = 4.0
"""Categories have no more words than this, on average."""

_EXACT = 2**53
"""Up to this, 64-bit floating-point numbers hold every whole number."""

_CODE = re.compile(r"0\d+")
_WHOLE = re.compile(r"-?\d+")
_KEY = re.compile(r"(.*[_ -])?(id|uuid|guid|index|idx|key)", re.IGNORECASE)
_UUID = re.compile(r"\{?[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}\}?", re.IGNORECASE)
_FILES: Mapping[ColumnKind, FileKind] = {"image": PICTURES, "audio": RECORDINGS}


@dataclass(frozen=True)
class Column:
    """A column, and what it holds.

    Attributes:
        reason: why it is thought to hold that; "" where the user said so.
        format: how its cells are written, of numbers and dates.
        odd: "constant", or "key" where every row has another value; "" for neither.
        resembles: what its texts look like but are not read as, and what to do about it.
    """

    name: str
    kind: ColumnKind
    reason: str = ""
    format: Format | None = None
    odd: str = ""
    resembles: str = ""

    @property
    def told(self) -> str:
        """Why it is thought to hold that, and how it is read."""
        words = "" if self.format is None else self.format.words
        return ", ".join(filter(None, (self.reason or "as told", words)))

    def __str__(self) -> str:
        return f"{self.name}: {self.kind} ({self.told})"


def find_kinds(
    table: Table,
    given: Mapping[str, ColumnKind],
    formats: Mapping[str, str],
    passed_over: Sequence[str],
    *,
    guess: bool,
) -> list[Column]:
    """Tell what each column holds.

    Args:
        given: what the user says about some.
        formats: how the cells of some are written, if the user says so.
        passed_over: columns of targets and splits, which are not inputs.
        guess: whether the other columns are judged by their cells; else they are ignored, and no
            format is detected.

    Raises:
        ConfigError: there is no such column, or no such format.
    """
    for name in given:
        if name not in table.columns:
            raise ConfigError(
                f"{table.path} has no column '{name}', which dataset.columns or the trained model "
                "names."
                f"{did_you_mean(name, table.columns)}",
                hint=f"Its columns are: {', '.join(table.columns)}.",
            )
    check_formats(table, formats, given, needed=guess)
    columns = []
    for name in table.columns:
        if name in given:
            column = Column(name, given[name])
        elif name in passed_over:
            continue
        elif not guess:
            column = Column(name, "ignored", "it is not named")
        elif name in formats:
            column = Column(name, kind_of_format(formats[name]))
        else:
            column = _guessed(table, name)
        if column.kind in FORMATTED:
            own = Format.of(table, name, column.kind, formats.get(name), guess=guess)
            column = replace(column, format=own)
        columns.append(column)
    return columns


def notes_on(columns: Sequence[Column]) -> list[str]:
    """What is odd about columns, and whether they are used."""
    notes = []
    constant = [column.name for column in columns if column.odd == "constant"]
    if constant:
        notes.append(f"constant, so not used: {', '.join(constant)}")
    keys = [column for column in columns if column.odd == "key"]
    if keys:
        used = ", ".join(f"{c.name} ({'not ' * (c.kind == 'ignored')}used)" for c in keys)
        notes.append(f"a different value in every row, like keys: {used}")
    notes += [f"column '{c.name}' looks like {c.resembles}" for c in columns if c.resembles]
    return notes


def _guessed(table: Table, name: str) -> Column:
    """What a column holds, and why that is thought."""
    form = table.arrow(name).type
    if holds_files(form):
        return _of_content(table, name)
    if pa.types.is_nested(form):
        return Column(name, "ignored", "its cells are lists or records")
    rows = np.linspace(0, len(table) - 1, min(_LOOKED_AT, len(table))).astype(int)
    cells = [table.cell(int(row), name) for row in np.unique(rows)]
    texts = [text for text in map(text_of, cells) if text]
    if len(set(texts)) < 2 and len(table.arrow(name).value_counts()) > 1:
        cells = table.arrow(name).to_pylist()  # The others may lie between these rows.
        texts = [text for text in map(text_of, cells) if text]
    distinct = len(set(texts))
    if not texts:
        return Column(name, "ignored", "it is empty", odd="constant")
    for kind, files in _FILES.items():
        if sum(text.lower().endswith(files.suffixes) for text in texts) >= _MOST * len(texts):
            if all(map(ADDRESS.match, texts)):
                reason = f"URLs, which are not fetched, such as {texts[0]}"
                return Column(name, "ignored", reason)
            return Column(name, kind, f"paths such as {texts[0]}")
    if distinct == 1:
        return Column(name, "ignored", f"it is always {texts[0]!r}", odd="constant")
    key = distinct == len(texts) and not _repeats(table, name)
    return (
        _of_dates(name, texts)
        or _of_numbers(name, texts, cells, key=key)
        or replace(_of_words(name, texts, distinct, key=key), resembles=resembled(texts))
    )


def _repeats(table: Table, name: str) -> bool:
    """Whether any row of the whole column has the value of another; empty cells do not count."""
    values, counts = table.arrow(name).value_counts().flatten()
    again = np.flatnonzero(counts.to_numpy() > 1).tolist()
    return any(text_of(values[place].as_py()) for place in again)


def _of_content(table: Table, name: str) -> Column:
    """What a column of bytes, or of records of bytes and path, holds."""
    for kind, files in _FILES.items():
        if is_of(table, name, files):
            return Column(name, kind, f"the content of {files.noun}")
    return Column(name, "ignored", "its bytes are neither pictures nor recordings")


def _of_dates(name: str, texts: Sequence[str]) -> Column | None:
    given = [text for text in texts if not is_missing(text)]
    form, doubt = find_date_format(given)
    form = "day-first" if doubt else form
    dates = [text for text in given if read_date(text, form) is not None]
    if not dates or len(dates) < _MOST * len(given):
        return None
    return Column(name, "date", f"dates such as {dates[0]}")


def _of_numbers(
    name: str, texts: Sequence[str], cells: Sequence[Any], *, key: bool
) -> Column | None:
    if not _are_numbers(texts, cells):
        return None
    whole = [int(text) for text in texts if _WHOLE.fullmatch(text)]
    odd = "key" if key and len(whole) == len(texts) else ""
    if key and _KEY.fullmatch(name):
        return Column(
            name,
            "ignored",
            "every row has a different number, and the name is that of a key",
            odd="key",
        )
    reason = f"{len(set(texts))} different numbers in {len(texts)} rows"
    if any(abs(number) > _EXACT for number in whole):
        if odd:
            reason = "every row has a different number, with more digits than can be computed with"
            return Column(name, "ignored", reason, odd="key")
        reason += f", rounded beyond {_EXACT}, which a category would not be"
    return Column(name, "number", reason, odd=odd)


def _of_words(name: str, texts: Sequence[str], distinct: int, *, key: bool) -> Column:
    words = sum(len(text.split()) for text in texts) / len(texts)
    told = f"{distinct} different in {len(texts)} rows, {words:.1f} words each"
    if key and all(map(_UUID.fullmatch, texts)):
        return Column(name, "ignored", "every row has a different UUID", odd="key")
    if words <= _WORDS and distinct <= max(2, len(texts) / 2):
        return Column(name, "category", told)
    if words < 1.5:
        reason = f"{told}: single words that hardly repeat{_mixed(texts)}"
        return Column(name, "ignored", reason, odd="key" if key else "")
    return Column(name, "text", told)


def _mixed(texts: Sequence[str]) -> str:
    """For a column that is not numeric, the share of numbers that it has nevertheless."""
    form = find_number_format(texts).format
    share = sum(form.resembles(text) for text in texts) / len(texts)
    return f", {share:.0%} of them numbers" if share else ""


def _are_numbers(texts: Sequence[str], cells: Sequence[Any]) -> bool:
    """Whether a column is numeric. A few cells may not be numbers, by mistake or because they mean
    that there is none; but words that repeat beside few numbers are names, such as "5+"."""
    if any(isinstance(cell, bool) for cell in cells) or any(map(_CODE.fullmatch, texts)):
        return False  # 007 is a name.
    texts = [text for text in texts if not is_missing(text)]
    form = find_number_format(texts).format
    others = [text for text in texts if not form.resembles(text)]
    if len(texts) - len(others) < _MOST * len(texts):
        return False
    if len(others) == len(texts):
        return False
    return len(set(others)) == len(others) or len(set(texts)) > len(texts) / 2


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
