"""From Python values to columns of Arrow: their types, and memory-mapping of large ones."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import reduce
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from mmft_core.utils import cache_root, storage_errors

BATCH = 2000
"""Rows that are converted at a time."""

_IN_MEMORY = 64 << 20
"""The most bytes that a table has in memory; a larger one goes to a temporary file."""

_EXACT = 2**53
"""Floats hold every whole number up to this."""

_JSON = pa.list_(pa.string(), 1)
"""For nested values without a common type: each a list of one text, its JSON."""


def type_of(values: Sequence[Any]) -> pa.DataType:
    """The Arrow type of the values of a column; values of several kinds are text."""
    kinds = {type(value) for value in values} - {type(None)}
    numbers = [abs(v) for v in values if type(v) is int]
    if not kinds:
        return pa.null()
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int} and max(numbers) < 2**63:
        return pa.int64()
    if kinds <= {int, float} and max(numbers, default=0) <= _EXACT:
        return pa.float64()
    if kinds <= {datetime, date}:
        return pa.date32() if kinds == {date} else pa.timestamp("us")
    if kinds in ({dict}, {list}):
        try:
            return pa.array(values).type
        except (pa.ArrowException, OverflowError, UnicodeError):
            return _JSON
    return pa.string()


def common_type(types: Sequence[pa.DataType]) -> pa.DataType:
    """The type of a column, from the types of its batches."""
    found = reduce(_joined, types, pa.null())
    return pa.string() if pa.types.is_null(found) else found


def _joined(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if {one, other} == {pa.int64(), pa.float64()}:
        return pa.float64()
    if pa.types.is_nested(one) and pa.types.is_nested(other):
        schemas = [pa.schema([("x", kind)]) for kind in (one, other)]
        try:
            return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
        except pa.ArrowException:
            return _JSON
    return pa.string()


def array_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """A column of values as an array of a type that `common_type` found for them."""
    if kind == pa.string():
        return pa.array([None if v is None else as_text(v) for v in values], kind)
    if kind == _JSON:
        return pa.array([None if v is None else [as_text(v)] for v in values], kind)
    if kind == pa.float64():
        return pa.array([None if v is None else float(v) for v in values], kind)
    return pa.array(values, kind)


def as_text(value: Any) -> str:
    """A value as text; a list or record as JSON."""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


class Spool:
    """Collects the batches of a table, in memory or, if it is large, in a temporary file.

    A context, at whose end the file is removed; what was read from it stays readable.
    """

    def __init__(self, types: Mapping[str, pa.DataType]) -> None:
        self._schema = pa.schema(list(types.items()))
        self._batches: list[pa.RecordBatch] = []
        self._bytes = 0
        self._path: Path | None = None
        self._writer: Any = None

    def add(self, columns: Sequence[pa.Array]) -> None:
        """Add a batch.

        Raises:
            StorageError: the temporary file cannot be written.
        """
        batch = pa.RecordBatch.from_arrays(list(columns), schema=self._schema)
        self._batches.append(batch)
        self._bytes += batch.nbytes
        if self._bytes > _IN_MEMORY:
            self._write()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._path is not None:
            self._writer.close()
            self._path.unlink()

    def table(self) -> pa.Table:
        """All rows, memory-mapped if they are in a file."""
        if self._path is None:
            return pa.Table.from_batches(self._batches, self._schema)
        self._write()
        with storage_errors(self._path):
            self._writer.close()
            return pa.ipc.open_stream(pa.memory_map(str(self._path))).read_all()

    def _write(self) -> None:
        folder = cache_root()
        with storage_errors(folder):
            if self._path is None:
                folder.mkdir(parents=True, exist_ok=True)
                handle, name = tempfile.mkstemp(dir=folder, prefix=".table.", suffix=".arrow")
                os.close(handle)
                self._path = Path(name)
                self._writer = pa.ipc.new_stream(name, self._schema)
            for batch in self._batches:
                self._writer.write_batch(batch)
        self._batches = []
