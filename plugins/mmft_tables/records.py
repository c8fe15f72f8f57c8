"""The records of a text table: cells between separators, where quotation marks may be text.

Within quotation marks a cell may hold separators and line ends (RFC 4180). A mark that is meant as
text and not doubled looks as if it opened such a cell, which would swallow the rows up to the next
mark. So every cell of several lines is examined; an unclear one is refused, or gives a warning.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

from mmft_core.errors import DataError
from mmft_tables.separators import fitted

csv.field_size_limit(2**31 - 1)

_MOST_DOUBTS = 100

_BLOCK = 1000
"""Lines that are parsed at once, unless a record among them has several."""


class Lines:
    """The lines of a file one after the other; lines that were read can be given back.

    Attributes:
        number: the number of the last line, from 1.
        nul: the first line with a NUL character; 0 if there is none.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._back: list[str] = []
        self._taken: list[str] = []
        self.number = 0
        self.nul = 0

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        line = self._back.pop() if self._back else next(self._file)
        self.number += 1
        if "\0" in line and not self.nul:
            self.nul = self.number
        self._taken.append(line)
        return line

    def taken(self) -> list[str]:
        """The lines since the last call of this."""
        taken, self._taken = self._taken, []
        return taken

    def give_back(self, lines: Sequence[str]) -> None:
        """Let lines that were taken come again, next."""
        self._back.extend(reversed(lines))
        self.number -= len(lines)


@dataclass(frozen=True)
class Doubt:
    """A cell of several lines, each of which would be a row if its quotation mark were text.

    Attributes:
        first, last: its lines, from 1.
        cells: (column, text) of those that would be whole cells of these rows.
    """

    first: int
    last: int
    cells: tuple[tuple[int, str], ...]


class Records:
    """Iterates over (first line, cells) of the records; blank lines have no cells.

    Args:
        quoted: whether quotation marks may enclose cells; else all of them are text.

    Attributes:
        header: the cells of the first record, set by the reader; rows must have as many.
        literal: lines of rows that were read with their quotation marks as text.
        doubts: the records of several lines that may have swallowed rows. There are `spanning` of
            several lines in all.
        apart: whether each line of these is read as a row.
        skip_spaces: whether spaces after separators are ignored.
    """

    def __init__(self, path: Path, lines: Lines, separator: str, *, quoted: bool = True) -> None:
        self._path, self._lines, self._quoted = path, lines, quoted
        self.separator = separator
        self.header: Sequence[str] = ()
        self.literal: list[int] = []
        self.spanning = 0
        self.doubts: list[Doubt] = []
        self.apart = False
        self.skip_spaces = False

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """Raises:
        DataError: a quotation mark opens a cell that is not closed properly.
        """
        lines = self._lines
        while block := list(islice(lines, _BLOCK)):
            first = lines.number - len(block) + 1
            lines.taken()
            try:
                rows = list(self._reader(block))
            except csv.Error:
                rows = []
            if len(rows) == len(block):  # Each record is one line.
                for number, (line, cells) in enumerate(zip(block, rows, strict=True), first):
                    yield number, self._fitting(number, line, cells)
            else:
                lines.give_back(block)
                yield from self._one_by_one(first + len(block))

    def _reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        return csv.reader(
            lines,
            delimiter=self.separator,
            quoting=csv.QUOTE_MINIMAL if self._quoted else csv.QUOTE_NONE,
            strict=True,
            skipinitialspace=self.skip_spaces,
        )

    def _one_by_one(self, end: int) -> Iterator[tuple[int, list[str]]]:
        """The records that begin before a line."""
        lines = self._lines
        reader = self._reader(lines)
        while lines.number + 1 < end:
            try:
                cells = next(reader, None)
                taken = lines.taken()
                first = lines.number - len(taken) + 1
                if cells is None:
                    return
                if len(taken) == 1:
                    cells = self._fitting(first, taken[0], cells)
                elif self._runs_on(first, taken):
                    cells = self._first_alone(first, taken)
            except csv.Error:
                taken = lines.taken()
                first = lines.number - len(taken) + 1
                cells = self._mended(first, taken)
            yield first, cells

    def _fitting(self, number: int, line: str, cells: list[str]) -> list[str]:
        """The cells of a line. Between tabs, if their number is wrong but right with quotation
        marks as text, the marks are text: one opens in one cell and closes in another."""
        if self.separator != "\t" or len(cells) == len(self.header) or '"' not in line:
            return cells
        if not self.header or fitted(cells, self.header) is not None:
            return cells
        literal = self._literally(line)
        if fitted(literal, self.header) is None:
            return cells
        self.literal.append(number)
        return literal

    def _mended(self, first: int, taken: list[str]) -> list[str]:
        """The first of some lines on its own, if its quotation mark is text."""
        cells = self._literally(taken[0])
        fits = not self.header or fitted(cells, self.header) is not None
        # A cell that ends in its line is clear; one that does not may be meant to continue.
        if fits and (self.separator == "\t" or self._strictly(taken[0]) is None):
            return self._first_alone(first, taken)
        raise DataError(
            f"{self._path}, line {first}: a quotation mark opens a cell that is not closed "
            "properly.",
            hint='Close it at the end of the cell, or write the cell as "...", with each mark that '
            'is text doubled: "".',
        )

    def _runs_on(self, first: int, taken: list[str]) -> bool:
        """Whether the lines of a record are read as rows, because each has a row's number of cells.
        Where `apart` is not set, such a record is noted as a doubt instead."""
        self.spanning += 1
        rows = [self._alone(line) for line in taken if line.strip()]
        if not self.header or len(rows) < 2:
            return False
        if any(fitted(row, self.header) is None for row in rows):
            return False
        if self.apart:
            return True
        if len(self.doubts) < _MOST_DOUBTS:
            cells = tuple(_whole_cells(rows))
            self.doubts.append(Doubt(first, first + len(taken) - 1, cells))
        return False

    def _first_alone(self, first: int, taken: list[str]) -> list[str]:
        self._lines.give_back(taken[1:])
        self.literal.append(first)
        return self._literally(taken[0])

    def _alone(self, line: str) -> list[str]:
        """The cells of a line on its own."""
        cells = self._strictly(line)
        return cells if cells else self._literally(line)

    def _strictly(self, line: str) -> list[str] | None:
        """The cells of a line on its own; [] if one runs on, None if one is misquoted."""
        try:
            return next(csv.reader([line], delimiter=self.separator, strict=True), [])
        except csv.Error as error:
            return [] if "unexpected end" in str(error) else None

    def _literally(self, line: str) -> list[str]:
        """The cells of a line whose quotation marks are text, except those around whole cells."""
        cells = next(csv.reader([line], delimiter=self.separator, quoting=csv.QUOTE_NONE), [])
        return [_unquoted(cell) for cell in cells]


def _unquoted(cell: str) -> str:
    inner = cell[1:-1]
    if len(cell) < 2 or cell[0] != '"' or cell[-1] != '"' or '"' in inner.replace('""', ""):
        return cell
    return inner.replace('""', '"')


def _whole_cells(rows: Sequence[list[str]]) -> Iterator[tuple[int, str]]:
    """The cells of swallowed rows, without those with the opening and the closing mark."""
    opening = next((i for i, cell in enumerate(rows[0]) if cell.lstrip().startswith('"')), 0)
    closing = next((i for i, cell in enumerate(rows[-1]) if cell.rstrip().endswith('"')), 0)
    yield from list(enumerate(rows[0]))[opening + 1 :]
    for row in rows[1:-1]:
        yield from enumerate(row)
    yield from list(enumerate(rows[-1]))[:closing]
