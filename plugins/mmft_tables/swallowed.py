"""Whether a cell of several lines is one, or a stray quotation mark has swallowed rows.

Each of its lines alone has the header's number of cells. The answer depends on whether these cells
are like those of other rows, in columns of numbers and of names that recur.
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
"""With fewer rows, nothing can be said about what a column holds."""

_SURE = 0.9
"""The share of supposed cells that must be like those of other rows, to be rows beyond doubt."""


def are_rows(records: Records, columns: Sequence[pa.ChunkedArray]) -> bool:
    """Whether doubtful cells hold rows, in tables with tabs, which texts do not contain.

    A table of one column has no tabs, so only a likeness to other cells counts there.
    """
    alike = [one for found in _likenesses(records.doubts, columns) for one in found]
    if not records.doubts or (len(columns) < 2 and not alike):
        return False
    return 2 * sum(alike) >= len(alike)


def doubts_told(path: Path, records: Records, columns: Sequence[pa.ChunkedArray]) -> Iterator[str]:
    """A warning about the first cell that may hold rows.

    Raises:
        DataError: a cell holds rows beyond doubt; names its line.
    """
    # If many cells have several lines, a few of them look like rows by chance.
    seldom = len(records.doubts) == records.spanning <= max(3, len(columns[0]) // 20)
    told = False
    for doubt, alike in zip(records.doubts, _likenesses(records.doubts, columns), strict=True):
        place = f"line {doubt.first}: a quotation mark opens a cell that continues to line"
        if len(alike) > 1 and sum(alike) >= _SURE * len(alike):
            raise DataError(
                f"{path}, {place} {doubt.last}, and it holds rows.",
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
    """For each doubt, whether its cells are like those of their columns, where that can be told."""
    if not doubts:
        return
    likes = [_like(column) for column in columns]
    for doubt in doubts:
        known = [(likes[place], text) for place, text in doubt.cells if place < len(likes)]
        yield [like(text) for like, text in known if like is not None]


def _like(column: pa.ChunkedArray) -> Callable[[str], bool] | None:
    """Tells whether a text is like a column's cells; None for a column of arbitrary texts."""
    cells = column.slice(0, _LOOKED_AT)
    known = set(pc.unique(cells).to_pylist())
    if len(cells) < _FEW:
        return None
    if all(is_numeric(cell) for cell in known if cell):
        return lambda text: is_numeric(text) and text == text.strip()
    return known.__contains__ if 2 * len(known) <= len(cells) else None
