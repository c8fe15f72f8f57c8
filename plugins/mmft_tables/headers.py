"""What the readers of tables return, and the names of columns."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmft_core.data import Indices
from mmft_core.errors import DataError
from mmft_core.utils import is_numeric

_LOOKED_AT = 1000
"""Rows that are compared with the header, to tell whether it is a row itself."""

_MOST = 0.9
"""The share of a column's cells that must be of one kind."""

_TEXT = 3.0
"""Words per cell, from which a column counts as texts."""

_AROUND = re.compile(r"^[\s\ufeff]+|[\s\ufeff]+$")
"""Spaces, and byte order marks that stand elsewhere than at the beginning of a file."""

_UNNAMED = re.compile(r"(Unnamed: \d+|__index_level_\d+__)?")
"""What pandas calls a column without a name, which is mostly its index."""

_FILE = re.compile(r"\S.*\.(\w{2,5})")
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?")


@dataclass
class Read:
    """A table as it was read, its columns not yet named.

    Attributes:
        header: a name for each column; "" where it has none.
        numbers: (n,) the number of each row, from 1, if rows were skipped; else None.
        notes: on how the file was understood.
        warnings: what is doubtful, as whole sentences.
        lined: whether the header is a line of the file like the rows.
        source: the table of `datasets` with the first columns, if these are memory-mapped.
        row_id: what messages call a row, by its index; None if by its number in the file.
        folder: the one that paths are relative to; None for the file's.
    """

    header: Sequence[str]
    columns: list[pa.ChunkedArray]
    numbers: Indices | None = None
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    lined: bool = False
    source: Any = None
    row_id: Callable[[int], str] | None = None
    folder: Path | None = None

    def named(self, place: str) -> dict[str, pa.ChunkedArray]:
        """The columns by their names, without row numbers; adds notes and warnings.

        Args:
            place: of the table, for messages.

        Raises:
            DataError: two columns have the same name.
        """
        named: dict[str, pa.ChunkedArray] = {}
        header = check_header(self.header, place)
        for number, (name, column) in enumerate(zip(header, self.columns, strict=True), 1):
            if not _UNNAMED.fullmatch(name):
                named[name] = column
            elif _is_empty(column):
                continue
            elif _is_index(column):
                shown = f"'{name}'" if name else f"{number} without a name"
                self.notes.append(f"column {shown} holds row numbers and is left out")
            else:
                own = name or next(
                    n for n in (f"column {number}", f"unnamed {number}") if n not in header
                )
                named[own] = column
                if not name:
                    self.notes.append(f"column {number} has no name and is called '{own}'")
        if self.lined:
            self.warnings += [*headless(named), *_repeated(named, self.numbers)]
        return named


def column_name(text: str) -> str:
    """The name of a column, without spaces around it and in composed Unicode (NFC)."""
    return unicodedata.normalize("NFC", _AROUND.sub("", text))


def check_header(cells: Sequence[Any], place: str) -> list[str]:
    """The names of columns from the cells of a header.

    Args:
        place: of the header, for messages.

    Raises:
        DataError: two columns have the same name.
    """
    names = ["" if c is None else column_name(str(c)) for c in cells]
    twice = next((name for i, name in enumerate(names) if name and name in names[:i]), None)
    if twice is not None:
        raise DataError(
            f"{place}: two columns are named '{twice}'.",
            hint="Rename or remove one of them. If this is a row, put a header above it.",
        )
    return names


def headless(columns: Mapping[str, pa.ChunkedArray]) -> Iterator[str]:
    """A warning if the names of columns look like the cells below them: perhaps there is no header,
    and the first row was taken for one."""
    first = [str(k) for k in range(len(columns))], [str(k + 1) for k in range(len(columns))]
    if list(columns) in first:  # As pandas numbers columns.
        return
    found = {name: _cell_like(name, column) for name, column in columns.items()}
    alike = [name for name, like in found.items() if like]
    if alike and False not in found.values():
        yield (
            f"The first row looks like data and not like the names of columns: {alike[0]!r} is "
            "like the cells below it. If there is no header, put one above it."
        )


def _repeated(columns: Mapping[str, pa.ChunkedArray], numbers: Indices | None) -> Iterator[str]:
    """A warning if a row repeats the header, as happens when tables are joined."""
    if len(columns) < 2 or not all(pa.types.is_string(c.type) for c in columns.values()):
        return
    *others, last = columns
    for row in np.flatnonzero(pc.equal(columns[last], last).fill_null(False).to_numpy()).tolist():
        if all(column_name(columns[name][row].as_py() or "") == name for name in others):
            number = row + 1 if numbers is None else numbers[row]
            yield f"Row {number} repeats the names of the columns. Remove it."
            return


def _cell_like(name: str, column: pa.ChunkedArray) -> bool | None:
    """Whether a name looks like a cell of its column; None if that cannot be told."""
    cells = [str(c).strip() for c in column.slice(0, _LOOKED_AT).to_pylist() if c is not None]
    cells = [cell for cell in cells if cell]
    if not cells:
        return None
    for is_kind in (is_numeric, _DATE.fullmatch):
        if sum(1 for cell in cells if is_kind(cell)) >= _MOST * len(cells):
            return bool(is_kind(name))
    files = [found[1].lower() for found in map(_FILE.fullmatch, cells) if found]
    if len(files) >= _MOST * len(cells):
        found = _FILE.fullmatch(name)
        return found is not None and found[1].lower() in files
    words = sum(len(cell.split()) for cell in cells) / len(cells)
    own = len(name.split())
    if words >= _TEXT:
        return False if own == 1 else (own >= max(_TEXT, words / 2) or None)
    return (2 * len(set(cells)) <= len(cells) and name in cells) or None


def _is_empty(column: pa.ChunkedArray) -> bool:
    if pa.types.is_string(column.type):
        return not pc.any(pc.not_equal(column, "")).as_py()
    return bool(column.null_count == len(column))


def _is_index(column: pa.ChunkedArray) -> bool:
    """Whether all cells are whole numbers, and all different."""
    if pa.types.is_string(column.type):
        if not pc.all(pc.match_substring_regex(column, r"^\d{1,18}$")).as_py():
            return False
    elif not pa.types.is_integer(column.type) or column.null_count:
        return False
    return bool(pc.count_distinct(column).as_py() == len(column))
