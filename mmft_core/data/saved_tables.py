"""Reading a folder that is a table: all of its files as one, memory-mapped."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmft_core.data.row_ids import RowIds
from mmft_core.data.tables import SPLIT, cause, quietly
from mmft_core.errors import DataError
from mmft_core.split_names import SPLIT_NAMES
from mmft_core.table_folders import TablePart, parts_of


def read(folder: Path) -> tuple[Any, pa.ChunkedArray | None, RowIds]:
    """Give the rows, the split of each if the names of files say it, and what rows are called.

    Raises:
        DataError: a file cannot be read, has other columns than the others, or contradicts its
            name.
    """
    parts, _ = parts_of(folder)
    rows, sizes = _read_parts(folder, parts)
    ids = RowIds([(part.name, size) for part, size in zip(parts, sizes, strict=True)])
    if not any(part.split for part in parts):
        return rows, None, ids
    runs = [pa.array([part.split] * n, pa.string()) for part, n in zip(parts, sizes, strict=True)]
    told = pa.chunked_array(runs)
    if SPLIT in rows.column_names:
        _check_same(ids, rows.data.column(SPLIT), told)
    return rows, told, ids


def home(folder: Path) -> Path:
    """The folder that paths in a table's cells are relative to: that of its files, if it is one."""
    parts, _ = parts_of(folder)
    homes = {part.path.parent for part in parts if part.path.is_file()}
    return homes.pop() if len(homes) == 1 else folder


def notes(folder: Path) -> tuple[str, ...]:
    """What of the folder is not read."""
    return tuple(parts_of(folder)[1])


def _read_parts(folder: Path, parts: Sequence[TablePart]) -> tuple[Any, list[int]]:
    """The rows of a table's folder, and the number of those of each part.

    Raises:
        DataError: a part cannot be read, or has other columns than the others.
    """
    import datasets
    from pyarrow import parquet

    with quietly():
        try:
            if parts[0].path.is_dir():
                tables = [datasets.load_from_disk(str(p.path), keep_in_memory=False) for p in parts]
                sizes = [len(table) for table in tables]
            else:
                sizes = [parquet.read_metadata(p.path).num_rows for p in parts]
                tables = [
                    datasets.Dataset.from_parquet([str(part.path) for part in group])
                    for _, group in itertools.groupby(parts, key=lambda part: part.split)
                ]
            return datasets.concatenate_datasets(tables), sizes
        except Exception as error:  # datasets wraps pyarrow's and its own errors.
            raise DataError(
                f"The table {folder} cannot be read: {cause(error).rstrip('.')}.",
                hint="Its files must be whole, and have the same columns.",
            ) from None


def _check_same(rows: RowIds, own: Any, told: Any) -> None:
    """Raises:
    DataError: a row says that it is of another split than its file's name; names it.
    """
    for row, (mine, theirs) in enumerate(zip(own.to_pylist(), told.to_pylist(), strict=True)):
        if SPLIT_NAMES.get(str(mine).lower()) != theirs:
            raise DataError(
                f"{rows(row)}: its column '{SPLIT}' says '{mine}', but the file is of {theirs}.",
                hint="Rename the column, or the files.",
            )
