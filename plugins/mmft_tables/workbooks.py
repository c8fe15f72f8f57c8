"""Reading Excel workbooks (.xlsx)."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmft_core.errors import DataError, MmftError, did_you_mean, first_line
from mmft_core.utils import check_expansion, missing_error
from mmft_tables.headers import Read, check_header
from mmft_tables.json_rows import read_records


def read_workbook(path: Path, sheet: str | None = None) -> Read:
    """Read one sheet; its first row that is not empty is the header.

    Formulas are read as the values that were saved with them, errors such as #N/A as missing.

    Args:
        sheet: its name; None for the first that is not hidden.

    Raises:
        DataError: the file is not a workbook, or has no such sheet.
        MissingExtraError: openpyxl is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # About styles and other things that are not read.
            rows, notes = _rows(path, sheet)
    except MmftError:
        raise
    except Exception as error:  # From zip, XML or openpyxl itself.
        raise DataError(
            f"{path} is not an Excel workbook that can be read: {first_line(error)}.",
            hint="Save it again as .xlsx, or as CSV.",
        ) from None
    filled = [(k, row) for k, row in enumerate(rows) if any(cell is not None for cell in row)]
    if not filled:
        raise DataError(f"The table {path} has no rows.")
    (top, header), *below = filled
    width = max(len(row) for _, row in filled)
    names = check_header(_padded(header, width), f"{path}, row {top + 1}")
    keys = [str(k) for k in range(width)]
    records = [dict(zip(keys, _padded(row, width), strict=True)) for _, row in below]
    read = read_records(lambda: iter(records), lambda row: f"{path}, row {row + 1}")
    numbers = np.array([k - top for k, _ in below], dtype=np.int64)
    passed_over = len(numbers) and numbers[-1] != len(numbers)
    return replace(
        read, header=names, numbers=numbers if passed_over else None, notes=notes, lined=True
    )


def _rows(path: Path, sheet: str | None) -> tuple[list[Sequence[Any]], list[str]]:
    """The cells of a sheet, and a note which of several it is."""
    try:
        import openpyxl
    except ImportError:
        raise missing_error(f"Reading {path.name}", ["excel"], "mmft") from None
    with zipfile.ZipFile(path) as archive:
        check_expansion(path, sum(member.file_size for member in archive.infolist()))
    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        sheets = {s.title: s for s in book.worksheets}
        if sheet is not None and sheet not in sheets:
            raise DataError(
                f"{path} has no sheet '{sheet}'.{did_you_mean(sheet, sheets)}",
                hint=f"Its sheets are: {', '.join(sheets)}. Set dataset.sheet.",
            )
        shown = [s for s in sheets.values() if s.sheet_state == "visible"] or list(sheets.values())
        if not shown:
            raise DataError(f"{path} has no sheet with cells.")
        chosen = shown[0] if sheet is None else sheets[sheet]
        chosen.reset_dimensions()
        others = [title for title in sheets if title != chosen.title]
        notes = [f"sheet '{chosen.title}', not {', '.join(others)}"] if others else []
        return list(_cells(chosen)), notes
    finally:
        book.close()


def _padded(row: Sequence[Any], width: int) -> list[Any]:
    return [*row, *[None] * (width - len(row))]


def _cells(sheet: Any) -> Iterator[Sequence[Any]]:
    for row in sheet.iter_rows():
        cells = [None if cell.data_type == "e" else cell.value for cell in row]
        while cells and cells[-1] is None:
            cells.pop()
        yield [_plain(cell) for cell in cells]


def _plain(cell: Any) -> Any:
    """A cell; one with an empty text is missing."""
    return None if isinstance(cell, str) and not cell.strip() else cell
