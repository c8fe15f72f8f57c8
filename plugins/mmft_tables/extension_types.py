"""Parquet columns whose types extend Arrow's: pandas' periods, UUIDs and others.

`datasets` refuses such files, or reads the numbers that a type is stored as. So these columns are
read on their own: where the type is known, as the same data would be in a CSV, otherwise as they
are stored.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_NAME, _METADATA = b"ARROW:extension:name", b"ARROW:extension:metadata"
"""Where a field names a type that this process does not know."""


def extension_columns(path: Path) -> list[str]:
    """The names of the columns of a Parquet file that have such types, themselves or within."""
    return [field.name for field in pq.read_schema(path) if _is_extended(field)]


def read_extensions(
    paths: Sequence[Path], names: Sequence[str]
) -> tuple[list[pa.ChunkedArray], list[str]]:
    """Read such columns of files, one below the other.

    Returns:
        the columns, and notes on those that are read as they are stored.

    Raises:
        OSError, pyarrow.ArrowException: they cannot be read.
    """
    tables = [pq.read_table(path, columns=list(names)) for path in paths]
    columns, notes = [], []
    for name in names:
        fields = [table.schema.field(name) for table in tables]
        parts = [_read(table[name], own) for table, own in zip(tables, fields, strict=True)]
        chunks = [chunk for part in parts for chunk in part.chunks]
        columns.append(pa.chunked_array(chunks, parts[0].type))
        kind, _ = _kind_of(fields[0])
        if kind not in _READERS:
            notes.append(
                f"column '{name}' is of the type {kind}, and is read in its stored form: "
                f"{parts[0].type}"
            )
    return columns, notes


def _is_extended(field: pa.Field) -> bool:
    return _NAME in (field.metadata or {}) or any(
        isinstance(each, pa.BaseExtensionType) for each in _within(field.type)
    )


def _within(kind: pa.DataType) -> Iterator[pa.DataType]:
    """A type and all types nested in it."""
    yield kind
    for number in range(kind.num_fields):
        yield from _within(kind.field(number).type)


def _kind_of(field: pa.Field) -> tuple[str, bytes]:
    """The name of an extension, and its parameters."""
    if isinstance(field.type, pa.ExtensionType):
        return field.type.extension_name, field.type.__arrow_ext_serialize__()
    if isinstance(field.type, pa.BaseExtensionType):
        return field.type.extension_name, b""
    told: Mapping[bytes, bytes] = field.metadata or {}
    return told.get(_NAME, b"of its values").decode("utf-8", "replace"), told.get(_METADATA, b"")


def _read(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    kind, parameters = _kind_of(field)
    stored = column.cast(_stored(column.type))
    try:
        return _READERS[kind](stored, parameters) if kind in _READERS else stored
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise pa.ArrowInvalid(f"column '{field.name}' is not of type {kind}: {error}") from None


def _stored(kind: pa.DataType) -> pa.DataType:
    """A type without extensions."""
    if isinstance(kind, pa.BaseExtensionType):
        return _stored(kind.storage_type)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_stored(field.type)) for field in kind])
    if pa.types.is_large_list(kind):
        return pa.large_list(_stored(kind.value_type))
    if pa.types.is_list(kind):
        return pa.list_(_stored(kind.value_type))
    return kind


def _periods(stored: pa.ChunkedArray, parameters: bytes) -> pa.ChunkedArray:
    """As pandas writes them: 2024-01."""
    import pandas as pd

    ordinals = stored.to_numpy()
    known = stored.is_valid().to_numpy()
    index = pd.PeriodIndex.from_ordinals(
        [int(n) for n in ordinals[known]], freq=json.loads(parameters)["freq"]
    )
    texts = iter(index.astype(str))
    return pa.chunked_array([pa.array([next(texts) if k else None for k in known], pa.string())])


def _uuids(stored: pa.ChunkedArray, parameters: bytes) -> pa.ChunkedArray:
    cells = stored.to_pylist()
    texts = [None if cell is None else str(uuid.UUID(bytes=cell)) for cell in cells]
    return pa.chunked_array([pa.array(texts, pa.string())])


_READERS: Mapping[str, Callable[[Any, bytes], pa.ChunkedArray]] = {
    "pandas.period": _periods,
    "arrow.uuid": _uuids,
    "arrow.json": lambda stored, _: stored.cast(pa.string()),
    "arrow.bool8": lambda stored, _: stored.cast(pa.bool_()),
}
