"""Which column of a table holds or names files, and what else a column may hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmft_core.errors import DataError
from mmft_datasets.class_folders import FileKind
from mmft_datasets.labelled_files import pack
from mmft_tables.cells import text_of, texts_of
from mmft_tables.row_files import (
    ADDRESS,
    CONTENT,
    LONGEST,
    HeldFile,
    HeldFiles,
    NamedFiles,
    RowFiles,
)
from mmft_tables.tables import Table

_LOOKED_AT = 20
"""Rows that are looked at to tell what a column holds."""

_NO_NAMES: Mapping[str, Callable[[str], Any]] = {
    "data: URLs": CONTENT.match,
    "addresses": ADDRESS.match,
    "texts too long for a path": lambda name: len(name) > LONGEST,
}
"""What a column may hold instead of names of files."""


def find_files(
    table: Table,
    given: str | None,
    option: str,
    names: Sequence[str],
    kind: FileKind,
    *,
    but: str | None = None,
    folder: Path | None = None,
) -> tuple[str, RowFiles]:
    """The column of files: the given one, the only one that holds such, one with a usual name, or
    the only one whose paths end like theirs.

    Args:
        given: the column that the user named with the option; None to find it.
        but: a column that is not used, whatever it looks like.
        folder: that relative paths start from; None for the table's.

    Raises:
        DataError: there is none, there are several, or it holds what cannot be read.
    """
    column = table.find_column(given, option, names)
    if given is None:
        column = _only_holding(table, column, kind, but) or column
    if column is None:
        column = _only_naming(table, kind, but)
    if column is None:
        raise table.missing_column(f"path of the {kind.one}", option)
    return column, files_of(table, column, kind, folder or table.folder)


def files_of(table: Table, column: str, kind: FileKind, folder: Path) -> RowFiles:
    """The files of a column.

    Args:
        folder: that relative paths start from.

    Raises:
        DataError: the column holds lists, decoded content or addresses.
    """
    form = table.arrow(column).type
    if holds_files(form):
        return HeldFiles(folder, table.mapped(column))
    reason = _unreadable(form, kind)
    if reason is not None:
        raise DataError(f"Column '{column}' of {table.path} holds {reason[0]}.", hint=reason[1])
    names = texts_of(table, column)
    _refuse_addresses(table, column, names, kind)
    return NamedFiles(folder, pack(names))


def holds_files(form: pa.DataType) -> bool:
    """Whether a column of this type holds the content of files."""
    if pa.types.is_struct(form):
        fields = {form.field(k).name: form.field(k).type for k in range(form.num_fields)}
        if not {"bytes", "path"} <= fields.keys():
            return False
        return _is_binary(fields["bytes"]) or pa.types.is_null(fields["bytes"])
    return _is_binary(form)


def is_of(table: Table, column: str, kind: FileKind) -> bool:
    """Whether a column that holds files has any of a kind, judged by some of its rows."""
    files = HeldFiles(table.folder, table.mapped(column))
    rows = np.unique(np.linspace(0, len(table) - 1, _LOOKED_AT).astype(int)).tolist()
    return any(
        kind.is_one(HeldFile(files, row))
        if files.holds(row)
        else files.name(row).lower().endswith(kind.suffixes)
        for row in rows
    )


def _is_binary(form: pa.DataType) -> bool:
    tests: list[Callable[[pa.DataType], bool]] = [
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_fixed_size_binary,
        pa.types.is_binary_view,
    ]
    return any(test(form) for test in tests)


def _unreadable(form: pa.DataType, kind: FileKind) -> tuple[str, str] | None:
    """What a column holds instead of files, and what to do about it; None if it may name files."""
    keep = f"Keep the encoded files: as bytes, or as records of `bytes` and `path` ({kind.noun})."
    if isinstance(form, pa.BaseExtensionType):
        return "arrays of numbers, not files", keep
    if pa.types.is_nested(form) and not pa.types.is_struct(form):
        item = form.value_type if hasattr(form, "value_type") else None
        if item is not None and (pa.types.is_floating(item) or pa.types.is_integer(item)):
            return "lists of numbers, not files", keep
        return (
            f"lists, but a row has one {kind.one}",
            f"Give each {kind.one} its own row, or name another column.",
        )
    if pa.types.is_struct(form):
        names = [form.field(k).name for k in range(form.num_fields)]
        if "array" in names:
            return "decoded samples ('array'), not files", keep
        return f"records of {', '.join(names)}, not files", keep
    return None


def _refuse_addresses(table: Table, column: str, names: Sequence[str], kind: FileKind) -> None:
    """Raises:
    DataError: no name is that of a local file, so it is not a mistake in single rows.
    """
    there = [name for name in names if name]
    for noun, test in _NO_NAMES.items():
        if there and all(map(test, there)):
            raise DataError(
                f"Column '{column}' of {table.path} holds {noun}, such as {there[0][:60]}.",
                hint=f"Nothing is fetched or decoded from them. Save the {kind.noun} as files and "
                "name these, or keep their bytes in a Parquet table.",
            )


def _only_holding(table: Table, usual: str | None, kind: FileKind, but: str | None) -> str | None:
    """The column that holds files of the kind; the one with a usual name if there are several."""
    holding = [
        name
        for name in table.columns
        if name != but and holds_files(table.arrow(name).type) and is_of(table, name, kind)
    ]
    if usual in holding or len(holding) != 1:
        return usual
    return holding[0]


def _only_naming(table: Table, kind: FileKind, but: str | None) -> str | None:
    """The one column whose cells are paths of files of the kind."""
    rows = range(min(_LOOKED_AT, len(table)))
    likely = []
    for column in table.columns:
        if column == but or pa.types.is_nested(table.arrow(column).type):
            continue
        cells = [text for text in (text_of(table.cell(i, column)) for i in rows) if text]
        if cells and all(cell.lower().endswith(kind.suffixes) for cell in cells):
            likely.append(column)
    return likely[0] if len(likely) == 1 else None
