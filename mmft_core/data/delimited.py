"""Reading CSV and TSV: every cell as text, every row accounted for."""

from __future__ import annotations

import itertools
import re
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmft_core.data.headers import Read, check_header, is_number
from mmft_core.data.records import Doubt, Lines, Records
from mmft_core.data.separators import NAMES, find_separator, fitted, stated_separator
from mmft_core.data.splits import Indices
from mmft_core.data.table_files import open_text
from mmft_core.data.typed_columns import BATCH, Spool
from mmft_core.errors import DataError
from mmft_core.files import suffix_of

_LOOKED_AT = 100
"""Lines by which the separator is found; ten times as many rows show what columns hold."""

_FEW = 5
"""Of fewer rows nobody can say what a column holds."""

_MOST = 0.9
"""Of cells must be like those of other rows, to be some themselves."""


def read_delimited(path: Path, separator: str | None = None, *, quoted: bool = True) -> Read:
    """Read a text table.

    Args:
        separator: of its cells; None to find it.
        quoted: whether quotation marks may enclose cells; else all of them are text.

    Raises:
        DataError: the file cannot be read, or has no rows; a row has other cells than the header,
            or a quotation mark that is not closed; names the line.
    """
    with open_text(path) as file:
        lines = Lines(file)
        records, notes = _records(path, lines, separator, quoted=quoted)
        rows = iter(records)
        line, header = next(((n, cells) for n, cells in rows if cells), (1, [""]))
        records.header = header
        names = check_header(header, f"{path}, line {line}")
        read = _Rows(path, records).read(rows)
        notes += _notes(path, records, read)
        warnings = list(_warnings(path, lines, records, read.columns))
    return Read(
        names, read.columns, numbers=read.numbers, notes=notes, warnings=warnings, lined=True
    )


def _records(
    path: Path, lines: Lines, separator: str | None, *, quoted: bool
) -> tuple[Records, list[str]]:
    """The records, from the header on, and how their cells are separated."""
    head = list(itertools.islice(lines, _LOOKED_AT))
    stated = stated_separator(head[0]) if len(head) > 1 else None
    lines.taken()
    lines.give_back(head[1:] if stated else head)
    head = [line for line in (head[1:] if stated else head) if line.strip()]
    if not head:
        raise DataError(f"The table {path} is empty.")
    usual = "\t" if suffix_of(path).startswith(".tsv") else ","
    chosen = separator or stated or find_separator(head, usual)
    names = head[0].rstrip("\r\n").split(chosen)
    if len(names) == 1 and re.search(r"\w[;\t|,]\w", names[0]) and names[0][0] != '"':
        raise DataError(
            f"{path}, line 1: with {_shown(chosen)} between cells the header '{names[0]}' is one "
            "column.",
            hint="Say what separates them, as in --set 'dataset.separator=;'"
            + (", or leave it out to have it found." if separator else "."),
        )
    records = Records(path, lines, chosen, quoted=quoted)
    records.skip_spaces = len(names) > 1 and all(name.startswith(" ") for name in names[1:])
    return records, [] if chosen == usual else [f"cells are separated by {_shown(chosen)}"]


def _shown(separator: str) -> str:
    return NAMES.get(separator, repr(separator))


class _Rows:
    """The rows below a header, a batch after the other."""

    columns: list[pa.ChunkedArray]
    numbers: Indices | None

    def __init__(self, path: Path, records: Records) -> None:
        self._path, self._records = path, records
        self._numbers = array("q")
        self._blank = 0
        self.empty_at_end = 0

    def read(self, rows: Iterator[tuple[int, list[str]]]) -> _Rows:
        width = len(self._records.header)
        with Spool({str(k): pa.string() for k in range(width)}) as spool:
            fitted_rows = self._fitted(rows)
            while batch := list(itertools.islice(fitted_rows, BATCH)):
                spool.add([pa.array(column, pa.string()) for column in zip(*batch, strict=True)])
            self.columns = list(spool.table().columns)
        self.numbers = np.array(self._numbers, dtype=np.int64) if self._blank else None
        return self

    def _fitted(self, rows: Iterator[tuple[int, list[str]]]) -> Iterator[list[str]]:
        """The rows with as many cells as the header; without empty ones at the end."""
        header, width = self._records.header, len(self._records.header)
        waiting: list[tuple[int, list[str]]] = []
        for number, (line, cells) in enumerate(rows, 1):
            if len(cells) == width and not waiting and any(cells):
                self._numbers.append(number)
                yield cells
                continue
            if not cells or (width > 1 and len(cells) == 1 and not cells[0].strip()):
                self._blank += 1
                continue
            row = fitted(cells, header)
            if row is None:
                raise DataError(
                    f"{self._path}, line {line}: {len(cells)} cells, but the header has {width}.",
                    hint="Put quotes around cells that hold the separator.",
                )
            waiting.append((number, row))
            if any(row):
                for known, ready in waiting:
                    self._numbers.append(known)
                    yield ready
                waiting = []
        self.empty_at_end = len(waiting)


def _notes(path: Path, records: Records, rows: _Rows) -> Iterator[str]:
    if records.literal:
        yield (
            f"quotation marks that enclose no cell are text, in {len(records.literal):,} rows from "
            f"line {records.literal[0]} on"
        )
    if rows.empty_at_end:
        yield f"{rows.empty_at_end:,} empty rows at the end are left out"


def _warnings(
    path: Path, lines: Lines, records: Records, columns: Sequence[pa.ChunkedArray]
) -> Iterator[str]:
    """What is doubtful.

    Raises:
        DataError: a cell holds what are rows beyond doubt.
    """
    if lines.nul:
        yield f"{path.name}, line {lines.nul}: there is a NUL character in it."
    told = []
    for doubt in records.doubts:
        alike = _alike(doubt, columns)
        if len(alike) > 1 and sum(alike) >= _MOST * len(alike):
            raise DataError(
                f"{path}, line {doubt.first}: a quotation mark opens a cell that goes on to line "
                f"{doubt.last}, and what it holds are rows.",
                hint="Close it, or remove it; a mark that is text is doubled within quotation "
                "marks.",
            )
        few = len(records.doubts) == records.spanning <= max(3, len(columns[0]) // 20)
        if 2 * sum(alike) >= len(alike) if alike else few:
            told.append(doubt)
    if told:
        yield (
            f"{path.name}, line {told[0].first}: a quotation mark opens a cell that goes on to "
            f"line {told[0].last}, and each of these lines could be a row. Is the mark text?"
        )


def _alike(doubt: Doubt, columns: Sequence[pa.ChunkedArray]) -> list[bool]:
    """Whether what would be cells of swallowed rows are like those of other rows, in columns of
    numbers or of names that come again."""
    alike = []
    for place, text in doubt.cells:
        cells = columns[place].slice(0, 10 * _LOOKED_AT) if place < len(columns) else []
        if len(cells) < _FEW:
            continue
        known = pc.unique(cells).to_pylist()
        if all(is_number(cell) for cell in known if cell):
            alike.append(is_number(text) and text == text.strip())
        elif 2 * len(known) <= len(cells):
            alike.append(text in known)
    return alike
