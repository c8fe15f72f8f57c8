"""Whether a cell of several lines is one, or a stray quotation mark has swallowed rows.

Its lines by themselves have the header's number of cells. What tells is whether these cells are
like those that other rows have: in columns of numbers, and of names that come again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mmft_core.errors import DataError
from mmft_core.utils import is_numeric
from mmft_tables.records import Doubt, Records

_LOOKED_AT = 1000
"""Rows that show what a column holds."""

_FEW = 5
"""Of fewer rows nobody can say what a column holds."""

_SURE = 0.9
"""Of what would be cells must be like those of other rows, to be some beyond doubt."""


def are_rows(records: Records, columns: Sequence[pa.ChunkedArray]) -> bool:
    """Whether doubtful cells are rows, where cells of texts hold no separator: between tabs.

    In a table of one column nothing is between tabs, so there only cells like others tell.
    """
    alike = [one for found in _likenesses(records.doubts, columns) for one in found]
    if not records.doubts or (len(columns) < 2 and not alike):
        return False
    return 2 * sum(alike) >= len(alike)


def doubts_told(path: Path, records: Records, columns: Sequence[pa.ChunkedArray]) -> Iterator[str]:
    """A warning of the first cell that may hold rows.

    Raises:
        DataError: a cell holds rows beyond doubt; names its line.
    """
    # Where many cells have several lines, a few of them look like rows by chance.
    seldom = len(records.doubts) == records.spanning <= max(3, len(columns[0]) // 20)
    told = False
    for doubt, alike in zip(records.doubts, _likenesses(records.doubts, columns), strict=True):
        place = f"line {doubt.first}: a quotation mark opens a cell that goes on to line"
        if len(alike) > 1 and sum(alike) >= _SURE * len(alike):
            raise DataError(
                f"{path}, {place} {doubt.last}, and what it holds are rows.",
                hint="Close it, or remove it; a mark that is text is doubled within quotation "
                "marks.",
            )
        if not told and (2 * sum(alike) >= len(alike) if alike else seldom):
            told = True
            yield (
                f"{path.name}, {place} {doubt.last}, and each of these lines could be a row. Is "
                "the mark text?"
            )


def _likenesses(
    doubts: Sequence[Doubt], columns: Sequence[pa.ChunkedArray]
) -> Iterator[list[bool]]:
    """For each doubt, whether its cells are like those of their columns, where that shows."""
    if not doubts:
        return
    likes = [_like(column) for column in columns]
    for doubt in doubts:
        known = [(likes[place], text) for place, text in doubt.cells if place < len(likes)]
        yield [like(text) for like, text in known if like is not None]


def _like(column: pa.ChunkedArray) -> Callable[[str], bool] | None:
    """What tells a cell of a column from others; None for a column of any texts."""
    cells = column.slice(0, _LOOKED_AT)
    known = set(pc.unique(cells).to_pylist())
    if len(cells) < _FEW:
        return None
    if all(is_numeric(cell) for cell in known if cell):
        return lambda text: is_numeric(text) and text == text.strip()
    return known.__contains__ if 2 * len(known) <= len(cells) else None
