"""The unpacked size of a Parquet file, in which one repeated value can fill a disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmft_core.utils.expansion import check_expansion

FREE = 4 * 2**30
"""Bytes that any file may unpack to: sparse tables compress well, and are not held in memory."""

_MEASURED_UNTIL = 64 * 2**20
"""Bytes of files whose texts are measured; larger ones are not small files that grow."""

_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}


def check_parquet(path: Path) -> None:
    """Check that a file's content is not out of all proportion to its size.

    Raises:
        DataError: it is.
        OSError, pyarrow.ArrowException: it cannot be read.
    """
    hint = "If this is intended, write the file with use_dictionary=False and compression='none'."
    with pq.ParquetFile(path) as file:
        chunks = list(_chunks(file.metadata))
        check_expansion(path, sum(least for _, least, _ in chunks), free=FREE, hint=hint)
        packed = path.stat().st_size
        if packed > _MEASURED_UNTIL or sum(most for *_, most in chunks) <= FREE:
            return
        texts = sorted({name for name, least, most in chunks if most > least})
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        size = 0
        for batch in file.iter_batches(columns=texts):
            size += sum(_expanded(column) for column in batch.columns)
            check_expansion(path, size, free=FREE, hint=hint)


def _chunks(metadata: Any) -> Any:
    """The least and the most bytes of each column in each group of rows, with its name."""
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(number)
            kind = chunk.physical_type
            # A text has at least its place in the column, and at most all that is there.
            width = metadata.schema.column(number).length if "FIXED" in kind else 4
            least = chunk.num_values * _WIDTHS.get(kind, width)
            most = chunk.num_values * chunk.total_uncompressed_size
            yield chunk.path_in_schema, least, most if kind == "BYTE_ARRAY" else least


def _expanded(array: Any) -> int:
    """The bytes of an array whose texts are dictionary-encoded."""
    if pa.types.is_dictionary(array.type):
        lengths = pc.cast(pc.binary_length(array.dictionary), pa.int64())
        return int(pc.sum(lengths.take(array.indices)).as_py() or 0)
    if pa.types.is_struct(array.type) or pa.types.is_map(array.type):
        return sum(map(_expanded, array.flatten()))
    if pa.types.is_nested(array.type):
        return _expanded(array.flatten())
    return int(array.nbytes)
