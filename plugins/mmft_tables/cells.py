"""Cells that are single values, and what they are as text."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from mmft_core.errors import DataError
from mmft_tables.tables import Table


def texts_of(table: Table, column: str) -> list[str]:
    """All cells of a column as text.

    Raises:
        DataError: they are lists, records or bytes.
    """
    return [text_of(cell) for cell in single_values(table, column).to_pylist()]


def text_of(cell: Any) -> str:
    """A cell as text; "" where it is missing."""
    if cell is None or cell != cell:  # NaN
        return ""
    if isinstance(cell, float) and cell.is_integer():  # pandas makes 3.0 of 3 beside a gap.
        cell = int(cell)
    return str(cell).strip()


def single_values(table: Table, column: str, hint: str | None = None) -> pa.ChunkedArray:
    """A column whose cells are single values.

    Args:
        hint: the hint of the error.

    Raises:
        DataError: they are lists, records or bytes.
    """
    cells = table.arrow(column)
    if not _is_compound(cells.type):
        return cells
    row = next((k for k, cell in enumerate(cells) if cell.is_valid), None)
    if row is None:
        return pa.chunked_array([pa.nulls(len(table), pa.string())])
    raise no_single_values(table, column, type(table.cell(row, column)).__name__, row, hint)


def no_single_values(
    table: Table, column: str, what: str, row: int, hint: str | None = None
) -> DataError:
    """The error for a column whose cells are not single values, such as the one in this row."""
    text = str(table.cell(row, column))
    return DataError(
        f"Column '{column}' of {table.path} holds {what} values, not text or numbers, such as "
        f"{text[:57] + '...' if len(text) > 60 else text} in {table.row_id(row)}.",
        hint=hint or "Expected one text or number in each row.",
    )


def _is_compound(kind: pa.DataType) -> bool:
    binary = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    return pa.types.is_nested(kind) or any(is_kind(kind) for is_kind in binary)
