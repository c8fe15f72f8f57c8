"""Writing rows that are left of a data set, or divided, as CSV or Parquet."""

from __future__ import annotations

import csv
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from mmft_core.errors import ConfigError
from mmft_core.utils import replacing
from mmft_tables.file_columns import holds_files
from mmft_tables.row_files import HeldFiles
from mmft_tables.tables import SPLIT, Table

_AT_ONCE = 1000
"""Rows that are written at a time."""

_FILES_AT_ONCE = 100
"""The same for rows with pictures or recordings."""


def beyond_csv(table: Table) -> list[str]:
    """The columns whose cells a CSV cannot hold."""
    return [
        name
        for name in table.columns
        if pa.types.is_nested(table.arrow(name).type) or holds_files(table.arrow(name).type)
    ]


def check_form(output: Path, table: Table, but: Collection[str] = ()) -> None:
    """Check that the rows of a table may be written to a file of this suffix.

    Args:
        but: columns that are replaced by texts.

    Raises:
        ConfigError: they may not.
    """
    lost = [name for name in beyond_csv(table) if name not in but]
    if lost and output.suffix == ".csv":
        raise ConfigError(
            f"Column '{lost[0]}' of {table.path} holds "
            f"{'files' if holds_files(table.arrow(lost[0]).type) else 'lists or records'}, "
            "which a CSV cannot hold.",
            hint=f"Write Parquet: -o {output.with_suffix('.parquet')}",
        )


def write_rows(file: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Write rows as a table, the column of their split, if they have one, last.

    Raises:
        StorageError: it cannot be written.
    """
    columns = _columns(rows)
    with replacing(file) as temporary:
        if file.suffix == ".parquet":
            cells = {name: [row.get(name, "") for row in rows] for name in columns}
            parquet.write_table(pa.table(cells), temporary)
            return
        with temporary.open("w", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, columns, restval="")
            writer.writeheader()
            writer.writerows(rows)


def write_rows_of(
    file: Path,
    table: Table,
    kept: Sequence[int],
    rows: Sequence[Mapping[str, str]],
    *,
    changed: Collection[str] = (),
) -> None:
    """Write rows of a table: as CSV from their texts, as Parquet with the types that they have.

    Args:
        kept: (n,) their numbers, in order; repeated for a row that became several.
        rows: (n,) their texts, as `rows_of_table` gives them; perhaps with another split.
        changed: columns that are new or differ, and are written as texts.

    Raises:
        StorageError: it cannot be written.
    """
    if file.suffix != ".parquet":
        write_rows(file, rows)
        return
    folder, step = file.absolute().parent, _FILES_AT_ONCE if beyond_csv(table) else _AT_ONCE
    first = _typed(table, kept[:step], rows[:step], folder, changed)
    with replacing(file) as temporary, parquet.ParquetWriter(temporary, first.schema) as writer:
        writer.write_table(first)
        for start in range(step, len(kept), step):
            end = start + step
            writer.write_table(_typed(table, kept[start:end], rows[start:end], folder, changed))


def _columns(rows: Sequence[Mapping[str, str]]) -> list[str]:
    columns = dict.fromkeys(column for row in rows for column in row)
    if SPLIT in columns:
        columns[SPLIT] = columns.pop(SPLIT)
    return list(columns)


def _typed(
    table: Table,
    numbers: Sequence[int],
    texts: Sequence[Mapping[str, str]],
    folder: Path,
    changed: Collection[str],
) -> pa.Table:
    """Some rows with the types of their columns, and their texts where these are strings."""
    found: dict[str, Any] = {}
    for name in [*table.columns, *(name for name in sorted(changed) if name not in table.columns)]:
        if name == SPLIT:
            continue
        if name in changed:
            found[name] = pa.array([text.get(name) or None for text in texts], pa.string())
            continue
        cells = table.arrow(name)
        if holds_files(cells.type):
            found[name] = _moved(table, name, numbers, folder)
        elif pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
            # An empty text may be a cell that is null.
            pairs = zip(texts, numbers, strict=True)
            found[name] = pa.array([t[name] or cells[k].as_py() for t, k in pairs], cells.type)
        else:
            found[name] = pa.array([cells[k].as_py() for k in numbers], cells.type)
    if texts and SPLIT in texts[0]:
        found[SPLIT] = pa.array([row[SPLIT] for row in texts])
    return pa.table(found, metadata=None if changed else table.metadata)


def _moved(table: Table, name: str, numbers: Sequence[int], folder: Path) -> pa.Array:
    """Cells of files; the path of a file that a cell only names is made to fit another folder."""
    form = table.arrow(name).type
    files, cells = HeldFiles(table.folder, table.mapped(name)), []
    for row in numbers:
        cell = table.cell(row, name)
        if isinstance(cell, dict) and not files.holds(row) and cell["path"]:
            cell = cell | {"path": place(str(files.find(row)), folder, cell["path"])}
        cells.append(cell)
    return pa.array(cells, form)


def rows_of_table(table: Table, folder: Path) -> list[dict[str, str]]:
    """The texts of a table's rows, except for columns that a CSV cannot hold, with paths that fit
    another folder."""
    own, lost = table.folder.absolute(), beyond_csv(table)
    columns = {name: _texts(table.arrow(name)) for name in table.columns if name not in lost}
    moved = own != folder.absolute()
    return [
        {
            name: place(str(own / cells[k]), folder.absolute(), cells[k]) if moved else cells[k]
            for name, cells in columns.items()
        }
        for k in range(len(table))
    ]


def _texts(cells: pa.ChunkedArray) -> list[str]:
    """Cells as texts; "" for a missing one, which in a column of numbers may be NaN."""
    # The shortest text of single precision is "0.1" and not "0.10000000149011612".
    kind = np.float32 if pa.types.is_float32(cells.type) else lambda cell: cell
    return ["" if c is None or c != c else str(kind(c)) for c in cells.to_pylist()]


def place(path: str, folder: Path, cell: str) -> str:
    """A cell that is the path of a file, made to fit another folder; any other cell unchanged.

    A folder's name is not a path: classes and splits are often named like folders beside a table.
    """
    if not cell or os.path.sep not in path or "\n" in cell or not _is_file(path):
        return cell
    whole = Path(path).absolute()
    return str(whole.relative_to(folder)) if whole.is_relative_to(folder) else str(whole)


def _is_file(cell: str) -> bool:
    try:
        return Path(cell).is_file()
    except (OSError, ValueError):  # Too long for a name, or with a zero byte: it is a text.
        return False


def kept_rows(table: Table, ids: set[str]) -> list[int] | None:
    """The numbers of a table's rows without those of these ids; None if the ids are not of rows."""
    gone = row_numbers(table, list(ids))
    if gone is None:
        return None
    left = set(range(len(table))).difference(gone)
    return sorted(left)


def row_numbers(table: Table, ids: Sequence[str]) -> list[int] | None:
    """The numbers of the rows of these ids; None if an id is not of a row."""
    known = {table.row_id(k): k for k in range(len(table))}
    found = [next((known[i] for i in _starts(name) if i in known), None) for name in ids]
    return [k for k in found if k is not None] if None not in found else None


def _starts(name: str) -> Iterator[str]:
    """An id, and what it may be without the name of a file at its end, in parentheses."""
    yield name
    parts = name.split(" (")
    for count in range(len(parts) - 1, 0, -1):
        yield " (".join(parts[:count])
