"""How the cells of columns of numbers and dates are written, and reading them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa

from mmft_core.data import LARGEST
from mmft_core.errors import ConfigError, DataError, did_you_mean
from mmft_fusion.options import ColumnKind
from mmft_tables.table_columns import texts_of
from mmft_tables.tables import Table
from mmft_tabular.dates import DATE_FORMATS, DateFormat, find_date_format, parts_of, read_date
from mmft_tabular.number_format import (
    NumberFormat,
    find_number_format,
    is_missing,
    with_unit,
)
from mmft_tabular.units import PERCENT

FORMATTED: tuple[ColumnKind, ...] = ("number", "date")
"""Kinds of columns whose cells can be written in several ways."""

TYPED = NumberFormat("decimal-point")
"""The format of numbers that a table stores as numbers, as Parquet and JSON do."""

_TOLD = 1000
"""Dates that are read to tell which parts they become."""

NUMBER_SETTINGS = "decimal-point or decimal-comma"
DATE_SETTINGS = "day-first or month-first"

Faults: TypeAlias = dict[int, str]
"""What is wrong with a cell, by row."""

T = TypeVar("T")


@dataclass(frozen=True)
class Format:
    """How a column is written.

    Attributes:
        text: as it is set and kept: "decimal-comma €", "day-first".
        words: what a reader should know about it.
        doubt: the possible readings of a cell, if no other cell says which is meant.
    """

    text: str
    words: str = ""
    doubt: str = ""

    @classmethod
    def of(
        cls, table: Table, name: str, kind: ColumnKind, given: str | None, *, guess: bool
    ) -> Format:
        """The format of a column: the given one, or the one that its cells show.

        Args:
            guess: whether to detect it if it is not given; else it is as earlier versions read it.
        """
        if kind == "date":
            return _of_dates(table, name, given)
        known = None if given is None else NumberFormat.parse(given)
        if is_typed(table, name):
            if guess and known is not None and known.unit == PERCENT:
                known = replace(known, unit="")  # There is no percent sign to keep.
            return cls(str(known or TYPED), "")
        if not guess:
            form = known or TYPED
            return cls(str(form), form.words)
        texts = texts_of(table, name)
        if known is not None:
            known = with_unit(known, texts)
            return cls(str(known), known.words)
        found = find_number_format(texts)
        words = ", ".join(filter(None, (found.format.words, found.example)))
        doubt = found.doubt and f"{found.doubt!r}, which {found.format.why_not(found.doubt)}"
        return cls(str(found.format), words, doubt)

    def check(self, table: Table, name: str, settings: str) -> None:
        """Raises:
        DataError: no cell says what is meant.
        """
        if self.doubt:
            raise DataError(
                f"Column '{name}' of {table.path} holds {self.doubt}, and no other cell says which "
                "is meant.",
                hint=f"Say so with --set dataset.formats.{name}={settings}.",
            )


def check_formats(
    table: Table, formats: Mapping[str, str], kinds: Mapping[str, ColumnKind], *, needed: bool
) -> None:
    """Check the formats that a user gives.

    Args:
        kinds: the kinds of columns that the user gives.
        needed: whether the columns have to be there.

    Raises:
        ConfigError: there is no such column, or no such format, or it is for other columns.
    """
    for name, text in formats.items():
        if needed and name not in table.columns:
            raise ConfigError(
                f"{table.path} has no column '{name}', which dataset.formats names."
                f"{did_you_mean(name, table.columns)}",
                hint=f"Its columns are: {', '.join(table.columns)}.",
            )
        if text not in DATE_FORMATS and NumberFormat.parse(text) is None:
            raise ConfigError(
                f"dataset.formats.{name} = '{text}' is not a format.",
                hint="Choose decimal-point, decimal-comma or plain, with a unit if there is one "
                f"('decimal-comma €'), of numbers; {', '.join(DATE_FORMATS)} of dates.",
            )
        kind = kinds.get(name, kind_of_format(text))
        if kind != kind_of_format(text):
            raise ConfigError(
                f"dataset.formats.{name} = '{text}' is for columns of kind {kind_of_format(text)}, "
                f"but dataset.columns.{name} = '{kind}'.",
                hint="Leave out one of them.",
            )


def kind_of_format(text: str) -> ColumnKind:
    """The kind of the columns that have such a format."""
    return "date" if text in DATE_FORMATS else "number"


def is_typed(table: Table, name: str) -> bool:
    """Whether a table holds a column's numbers as such, and not as text."""
    kind = table.arrow(name).type
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return any(test(kind) for test in tests)


def read_numbers(table: Table, name: str, form: Format, faults: Faults) -> Any:
    """A column of numbers (n,), NaN where a cell is empty.

    Args:
        faults: takes what is wrong.
    """
    own = NumberFormat.parse(form.text) or TYPED
    if is_typed(table, name) and own.unit != PERCENT:
        return _typed_numbers(table, name, faults)

    def fault(text: str) -> str:
        why = _why_not(own, name, text)
        if why == "is not a number":
            why += f" (if it is not numeric, train with dataset.columns.{name}=category)"
        return f"{text!r} in column '{name}' {why}"

    found = _read(texts_of(table, name), own.read, fault, faults)
    return np.array([np.nan if number is None else number for number in found])


def read_dates(table: Table, name: str, form: Format, faults: Faults) -> Any:
    """A column of dates (n,) in seconds, NaT where a cell is empty.

    Args:
        faults: takes what is wrong.
    """

    def fault(text: str) -> str:
        return f"{text!r} in column '{name}' is not a date ({form.text}, like the column's others)"

    found = _read(texts_of(table, name), _reader(form.text), fault, faults)
    return np.array(found, dtype="datetime64[s]")


def _read(
    texts: Sequence[str],
    read: Callable[[str], T | None],
    fault: Callable[[str], str],
    faults: Faults,
) -> list[T | None]:
    """What cells say; the same text is read once."""
    known: dict[str, T | None] = {}
    found: list[T | None] = []
    for row, text in enumerate(texts):
        if text not in known:
            known[text] = None if is_missing(text) else read(text)
        found.append(known[text])
        if known[text] is None and not is_missing(text):
            faults[row] = fault(text)
    return found


@dataclass(frozen=True)
class NumberTargets:
    """A column of numbers to predict."""

    column: str
    format: Format

    @classmethod
    def of(cls, table: Table, name: str, given: str | None, *, guess: bool) -> NumberTargets:
        """Raises:
        DataError: most of its cells can be read in two ways, and none says which is meant.
        """
        form = Format.of(table, name, "number", given, guess=guess)
        form.check(table, name, NUMBER_SETTINGS)
        percent = (NumberFormat.parse(form.text) or TYPED).unit == PERCENT
        if is_typed(table, name) and not percent:  # Read as numbers, whatever others were.
            form = replace(form, text=str(TYPED))
        return cls(name, form)

    def read(self, text: str) -> float:
        """The number of a cell.

        Raises:
            ValueError: it is none; says why.
        """
        own = NumberFormat.parse(self.format.text) or TYPED
        number = own.read(text)
        if number is None:
            why = _why_not(own, self.column, text).replace(
                "is not a number", "is not a finite number"
            )
            raise ValueError(f"its target {text!r} {why}")
        return int(number) if number.is_integer() else number


def _why_not(own: NumberFormat, name: str, text: str) -> str:
    why = own.why_not(text)
    if why.startswith("can be read"):
        return f"{why}; say which with --set dataset.formats.{name}={NUMBER_SETTINGS}"
    return why


def _typed_numbers(table: Table, name: str, faults: Faults) -> Any:
    cells = table.arrow(name).cast(pa.float64(), safe=False).to_numpy()
    for row in np.flatnonzero(np.abs(cells) > LARGEST).tolist():
        faults[row] = f"{cells[row]:g} in column '{name}' is not a finite number"
    return np.where(np.abs(cells) > LARGEST, np.nan, cells)


def _reader(text: str) -> Callable[[str], dt.datetime | None]:
    form: DateFormat = next((f for f in DATE_FORMATS if f == text), "year-first")
    return lambda cell: read_date(cell, form)


def _of_dates(table: Table, name: str, given: str | None) -> Format:
    texts = list(dict.fromkeys(text for text in texts_of(table, name) if not is_missing(text)))
    form, doubt = (given, "") if given in DATE_FORMATS else find_date_format(texts)
    dates = [date for date in map(_reader(str(form)), texts[:_TOLD]) if date is not None]
    words = f"{form}, as {', '.join(parts_of(dates))}"
    if not doubt:
        return Format(str(form), words)
    one, other = (read_date(doubt, f) for f in ("day-first", "month-first"))
    return Format(str(form), words, f"{doubt!r}, which can be {one:%d %B %Y} or {other:%d %B %Y}")
