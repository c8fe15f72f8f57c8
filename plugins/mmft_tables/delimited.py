"""Reading CSV and TSV: every cell as text, every row accounted for."""

from __future__ import annotations

import itertools
import re
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmft_core.data import Indices
from mmft_core.errors import DataError
from mmft_core.utils import suffix_of
from mmft_tables.headers import Read, check_header
from mmft_tables.records import Lines, Records
from mmft_tables.separators import NAMES, find_separator, fitted, stated_separator
from mmft_tables.swallowed import are_rows, doubts_told
from mmft_tables.text_files import open_text
from mmft_tables.typed_columns import BATCH, Spool

_LOOKED_AT = 100
"""Lines by which the separator is found."""

_CONTROLS = re.compile(r"[\0-\x1f\x7f]+")
"""As at the end of a file that was copied in blocks, or as DOS's Ctrl-Z."""


def read_delimited(path: Path, separator: str | None = None, *, quoted: bool = True) -> Read:
    """Read a text table.

    Args:
        separator: of its cells; None to find it.
        quoted: whether quotation marks may enclose cells; else all of them are text.

    Raises:
        DataError: the file cannot be read, or has no rows; a row has another number of
            cells than the header, or a quotation mark that is not closed; names the line.
    """
    read, records = _read(path, separator, quoted=quoted)
    if records.separator == "\t" and are_rows(records, read.columns):
        read, records = _read(path, separator, quoted=quoted, apart=True)
    read.warnings += doubts_told(path, records, read.columns)
    return read


def _read(
    path: Path, separator: str | None, *, quoted: bool, apart: bool = False
) -> tuple[Read, Records]:
    """Args:
    apart: whether the lines of a cell are read as rows where they could be rows.
    """
    with open_text(path) as file:
        lines = Lines(file)
        records, notes = _records(path, lines, separator, quoted=quoted)
        records.apart = apart
        rows = iter(records)
        line, header = next(((n, cells) for n, cells in rows if cells), (1, [""]))
        records.header = header
        first = list(itertools.islice(rows, _LOOKED_AT))
        if _are_numbered(header, [cells for _, cells in first if cells]):
            records.header = header = ["", *header]
        names = check_header(header, f"{path}, line {line}")
        below = _Rows(path, records).read(itertools.chain(first, rows))
    read = Read(names, below.columns, numbers=below.numbers, lined=True)
    read.notes += [*notes, *_notes(records, below)]
    if lines.nul:
        read.warnings.append(f"{path.name}, line {lines.nul}: there is a NUL character in it.")
    return read, records


def _are_numbered(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether rows begin with their numbers, for which the header has no name, as in R's tables.
    The additional cell alone could also come from a separator within a text."""
    if not any(row[-1] for row in rows) or any(len(row) != len(header) + 1 for row in rows):
        return False
    return len({row[0] for row in rows}) == len(rows) and all(row[0].isdecimal() for row in rows)


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
    """The rows below a header, one batch after the other."""

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
                if _CONTROLS.fullmatch("".join(cells)):
                    raise DataError(
                        f"{self._path}, line {line} holds only control characters.",
                        hint="Remove it.",
                    )
                found = f"{len(cells)} cells" if len(cells) > 1 else "1 cell"
                raise DataError(
                    f"{self._path}, line {line}: {found}, but the header has {width}.",
                    hint="The first line that is not empty is the header. Remove it if it is a "
                    "title."
                    if len(cells) > width == 1
                    else "Put quotes around cells that hold the separator."
                    if len(cells) > width
                    else "Each row needs a cell for each column, even if it is empty.",
                )
            waiting.append((number, row))
            if any(row):
                for known, ready in waiting:
                    self._numbers.append(known)
                    yield ready
                waiting = []
        self.empty_at_end = len(waiting)


def _notes(records: Records, rows: _Rows) -> Iterator[str]:
    if records.literal:
        yield (
            "quotation marks that do not enclose a cell are read as text, in "
            f"{len(records.literal):,} rows from line {records.literal[0]} on"
        )
    if rows.empty_at_end:
        yield f"{rows.empty_at_end:,} empty rows at the end are left out"
