"""From the cells of a column to names, the same ones whatever the format of the file.

A name is a text without spaces around it and in composed Unicode (NFC). If all cells of a column
are whole numbers, days, or true or false, they are written as 3, 2024-05-17 and True: programs
write them as "3.0" beside a missing cell, as "2024-05-17T00:00:00" or as "TRUE" as well.
"""

from __future__ import annotations

import ast
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from mmft_core.data import Indices

_TRUTH = ("true", "false")
_WHOLE = re.compile(r"(-?(?:0|[1-9]\d*))(?:\.0+)?")
_FRACTION = re.compile(r"-?\d+\.\d+")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?")
_EXACT = 2.0**53
_BRACKETS = re.compile(r"\[.*\]|\{.*\}|(\w+(\.\w+)*)?\(.*\)", re.DOTALL)
_NUMBERS = re.compile(r"\[(\s*-?\d[\d.e+-]*)+\s*\]")
"""How numpy writes an array."""

_VALUES = {"nan", "NaN", "NA", "inf", "Infinity", "null", "true", "false"}
"""Names that stand for values in a list."""

_CONTAINERS = {"array", "list", "tuple", "set", "frozenset", "dict", "deque", "OrderedDict"}
"""Types that are written as a call around a list."""


@dataclass(frozen=True)
class Names:
    """The cells of a column as names.

    Attributes:
        codes: (n,) indices into `values`, -1 where a cell is missing.
        values: the names, each once, in no order.
        notes: which cells were changed, as ends of a sentence about the column.
    """

    codes: Indices
    values: Sequence[str]
    notes: Sequence[str] = ()

    def texts(self) -> list[str]:
        """The name of each cell (n,); "" where it is missing."""
        values = [*self.values, ""]
        return [values[code] for code in self.codes.tolist()]


def names_of(cells: pa.ChunkedArray) -> Names:
    """The cells of a column (n,), which are single values, as names."""
    raw, codes = _distinct(cells)
    writing = _Writing(raw, np.bincount(codes[codes >= 0], minlength=len(raw)))
    names = writing.names(cells.type)
    index: dict[str, int] = {"": -1}
    merged = [index.setdefault(name, len(index) - 1) for name in names]
    return Names(
        np.array([*merged, -1], dtype=np.int64)[codes], list(index)[1:], tuple(writing.notes)
    )


def _distinct(cells: pa.ChunkedArray) -> tuple[list[Any], Indices]:
    """The values that there are, and their indices (n,), -1 for a missing one."""
    if pa.types.is_null(cells.type):
        return [], np.full(len(cells), -1, dtype=np.int64)
    encoded = cells.dictionary_encode().unify_dictionaries()
    codes = [chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False) for chunk in encoded.chunks]
    values = encoded.chunk(0).dictionary
    if pa.types.is_float32(values.type):  # Of which the shortest text tells it from its neighbours.
        return [np.float32(v) for v in values.to_pylist()], np.concatenate(codes).astype(np.int64)
    return values.to_pylist(), np.concatenate(codes).astype(np.int64)


@dataclass
class _Writing:
    """Writes values, of which there are `counts`, as names."""

    values: Sequence[Any]
    counts: np.ndarray[Any, np.dtype[Any]]
    notes: list[str] = field(default_factory=list)

    def names(self, kind: pa.DataType) -> list[str]:
        if pa.types.is_floating(kind):
            return _floats(self.values)
        if pa.types.is_timestamp(kind):
            return _moments(self.values)
        if not all(isinstance(value, str) for value in self.values):
            return [str(value).strip() for value in self.values]
        names = self._changed(self.values, str.strip, "spaces around {} left out")
        names = self._changed(names, composed, "{} changed to composed Unicode (NFC)")
        given = [name for name in names if name]
        if given and all(map(_WHOLE.fullmatch, given)):
            return self._changed(names, _whole, "{} written as whole numbers, without .0")
        if given and all(name.lower() in _TRUTH for name in given):
            return self._changed(names, str.capitalize, "{} written as True or False")
        if given and all(map(_MOMENT.fullmatch, given)):
            return self._moments_of(names)
        return names

    def _changed(self, names: Sequence[str], change: Callable[[str], str], told: str) -> list[str]:
        changed = [change(name) for name in names]
        rows = sum(
            int(count)
            for before, after, count in zip(names, changed, self.counts, strict=True)
            if before != after and after
        )
        if rows:
            self.notes.append(told.format(f"{rows:,} cell{'s' if rows > 1 else ''}"))
        return changed

    def _moments_of(self, names: list[str]) -> list[str]:
        try:
            moments = [datetime.fromisoformat(name) if name else None for name in names]
            found = dict(zip(names, _moments(moments), strict=True))
        except ValueError:  # Such as the 32nd of May.
            return names
        return self._changed(names, found.__getitem__, "the dates of {} written in one way")


def composed(text: str) -> str:
    """A text in composed Unicode (NFC), in which an accented letter is one character."""
    return unicodedata.normalize("NFC", text)


def _whole(name: str) -> str:
    found = _WHOLE.fullmatch(name)
    return found[1] if found else name


def _floats(values: Sequence[Any]) -> list[str]:
    numbers = [None if value is None or value != value else value for value in values]
    if all(n is None or (float(n).is_integer() and abs(n) < _EXACT) for n in numbers):
        return ["" if number is None else str(int(number)) for number in numbers]
    return ["" if number is None else str(number) for number in numbers]


def _moments(values: Sequence[Any]) -> list[str]:
    """Times, or days alone if all are at midnight and of no time zone."""
    days = all(_is_day(value) for value in values if value is not None)
    return ["" if v is None else str(v.date() if days else v) for v in values]


def _is_day(value: datetime) -> bool:
    return value.tzinfo is None and value == datetime(value.year, value.month, value.day)


def identity(name: str) -> str:
    """One text for all ways in which programs write the same number, day or truth value.

    Names that are not found themselves are looked up by it: "3.0" for "3", "true" for "True".
    """
    name = composed(name.strip())
    if _WHOLE.fullmatch(name):
        return _whole(name)
    if _FRACTION.fullmatch(name):  # To the digits that single precision keeps.
        return f"{float(name):.7g}"
    if _MOMENT.fullmatch(name):
        try:
            return _moments([datetime.fromisoformat(name)])[0]
        except ValueError:
            return name
    return name.capitalize() if name.lower() in _TRUTH else name


class Lookup:
    """Finds names as they are, or else the only one with the same identity."""

    def __init__(self, names: Iterable[str]) -> None:
        self._places = {name: place for place, name in enumerate(names)}
        self._by_identity: dict[str, list[int]] = {}
        for name, place in self._places.items():
            self._by_identity.setdefault(identity(name), []).append(place)

    def __call__(self, name: str) -> int | None:
        """The place of a name; None if it is none of them, or could be several."""
        place = self._places.get(name)
        if place is not None or not isinstance(name, str):
            return place
        places = self._by_identity.get(identity(name), [])
        return places[0] if len(places) == 1 else None


def is_list(text: str) -> bool:
    """Whether a text is that of a list, a record or a set, as programs write them into cells."""
    text = text.strip()
    if not _BRACKETS.fullmatch(text):
        return False
    if _NUMBERS.fullmatch(text):
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of escape sequences that Python does not know.
            body = ast.parse(text, mode="eval").body
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
    return _is_container(body)


def _is_container(node: ast.expr) -> bool:
    """Whether an expression is a list or the like of values, by itself or in `array(...)`."""
    match node:
        case ast.Call():
            return _name(node.func) in _CONTAINERS and any(map(_is_container, node.args))
        case ast.List() | ast.Tuple() | ast.Set():
            return all(map(_is_value, node.elts))
        case ast.Dict():
            return all(key is not None and _is_value(key) for key in node.keys) and all(
                map(_is_value, node.values)
            )
    return False


def _is_value(node: ast.expr) -> bool:
    """Whether an expression is what `repr` or JSON writes for a value, as "1", "nan" or
    "datetime.date(2024, 1, 1)"."""
    match node:
        case ast.Constant() | ast.Call():
            return True
        case ast.Name():
            return node.id in _VALUES
        case ast.UnaryOp():
            return isinstance(node.op, ast.USub) and _is_value(node.operand)
    return _is_container(node)


def _name(function: ast.expr) -> str:
    """The name of a function, without that of its module."""
    return getattr(function, "attr", "") or getattr(function, "id", "")
