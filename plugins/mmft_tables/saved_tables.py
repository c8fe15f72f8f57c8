"""Reading a folder that is a table: all of its files as one, memory-mapped."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from mmft_core.data import SPLIT_NAMES, TablePart, check_parquet, parts_of
from mmft_core.errors import DataError, MmftError
from mmft_tables.extension_types import extension_columns, read_extensions
from mmft_tables.headers import Read
from mmft_tables.parquet import add_extensions, cause, map_files, quietly, read_rows
from mmft_tables.row_ids import PartIds

_Extensions: TypeAlias = tuple[list[str], list[pa.ChunkedArray], list[str]]

SPLIT = "split"
"""The column that says to which split a row belongs."""


def read_folder(folder: Path) -> Read:
    """Read all files of a table's folder; splits in their names become a column.

    Raises:
        DataError: a file cannot be read, has other columns than the others, or contradicts its
            name.
    """
    parts, notes = parts_of(folder)
    rows, sizes, extensions = _read_parts(folder, parts)
    row_id = PartIds([(part.name, size) for part, size in zip(parts, sizes, strict=True)])
    read = read_rows(rows, row_id)
    read.row_id, read.folder, read.notes = row_id, _home(folder, parts), notes
    add_extensions(read, *extensions)
    if any(part.split for part in parts):
        splits = [pa.array([p.split] * n, pa.string()) for p, n in zip(parts, sizes, strict=True)]
        told = pa.chunked_array(splits)
        if SPLIT in read.header:
            _check_same(row_id, read.columns[list(read.header).index(SPLIT)], told)
        else:
            read.header, read.columns = [*read.header, SPLIT], [*read.columns, told]
    return read


def _home(folder: Path, parts: Sequence[TablePart]) -> Path:
    """The folder that paths in cells are relative to: that of the files, if all are in one."""
    homes = {part.path.parent for part in parts if part.path.is_file()}
    return homes.pop() if len(homes) == 1 else folder


def _read_parts(folder: Path, parts: Sequence[TablePart]) -> tuple[Any, list[int], _Extensions]:
    """The rows of a table's folder, how many each part has, and the names, columns and notes of
    those that are read separately.

    Raises:
        DataError: a part cannot be read, or has other columns than the others.
    """
    import datasets
    from pyarrow import parquet

    extensions: _Extensions = ([], [], [])
    with quietly():
        try:
            if parts[0].path.is_dir():
                tables = [datasets.load_from_disk(str(p.path), keep_in_memory=False) for p in parts]
                sizes = [len(table) for table in tables]
            else:
                for part in parts:
                    check_parquet(part.path)
                sizes = [parquet.read_metadata(p.path).num_rows for p in parts]
                apart = extension_columns(parts[0].path)
                extensions = (apart, *read_extensions([part.path for part in parts], apart))
                tables = [
                    map_files([part.path for part in group], apart)
                    for _, group in itertools.groupby(parts, key=lambda part: part.split)
                ]
            return datasets.concatenate_datasets(tables), sizes, extensions
        except MmftError:
            raise
        except Exception as error:  # datasets wraps pyarrow's and its own errors.
            raise DataError(
                f"The table {folder} cannot be read: {cause(error).rstrip('.')}.",
                hint="Its files must be whole, and have the same columns.",
            ) from None


def _check_same(row_id: Callable[[int], str], own: Any, told: Any) -> None:
    """Raises:
    DataError: a row says another split than its file's name; names the row.
    """
    for row, (mine, theirs) in enumerate(zip(own.to_pylist(), told.to_pylist(), strict=True)):
        if SPLIT_NAMES.get(str(mine).lower()) != theirs:
            raise DataError(
                f"{row_id(row)}: column '{SPLIT}' says '{mine}', but the file belongs to {theirs}.",
                hint="Rename the column, or the files.",
            )
