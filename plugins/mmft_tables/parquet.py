"""Reading Parquet, memory-mapped by `datasets`."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmft_core.data import check_parquet
from mmft_core.errors import DataError, MmftError, first_line
from mmft_core.utils import quieted
from mmft_tables.extension_types import extension_columns, read_extensions
from mmft_tables.headers import Read
from mmft_tables.row_ids import RowIds


def read_parquet(path: Path) -> Read:
    """Read a Parquet file; class numbers become the names that its schema gives them.

    Raises:
        DataError: it cannot be read, or a class has no name.
    """
    with quietly():
        try:
            check_parquet(path)
            apart = extension_columns(path)
            rows = map_files([path], apart)
            read_apart = read_extensions([path], apart)
        except MmftError:
            raise
        except Exception as error:  # datasets wraps pyarrow's and its own errors.
            raise DataError(
                f"The table {path} cannot be read: {cause(error)}.", hint="Mend the file."
            ) from None
    read = read_rows(rows, RowIds(path.name))
    add_extensions(read, apart, *read_apart)
    return read


def map_files(paths: Sequence[Path], apart: Collection[str]) -> Any:
    """Rows of Parquet files, as `datasets` reads them; without columns that are read separately.

    Raises:
        Exception: whatever pyarrow or `datasets` raises if they cannot be read.
    """
    import datasets

    files = [str(path) for path in paths]
    if not apart:
        return datasets.Dataset.from_parquet(files)
    schema = pq.read_schema(paths[0])
    fields = [field for field in schema if field.name not in apart]
    if not fields:
        return datasets.Dataset(datasets.table.InMemoryTable(pa.table({})))
    features = datasets.Features.from_arrow_schema(pa.schema(fields, schema.metadata))
    names = [field.name for field in fields]
    return datasets.Dataset.from_parquet(
        files, columns=names, features=datasets.Features({name: features[name] for name in names})
    )


def add_extensions(
    read: Read, names: Sequence[str], columns: Sequence[pa.ChunkedArray], notes: Sequence[str]
) -> None:
    """Add columns that were read separately, after the others."""
    read.header = [*read.header, *names]
    read.columns = [*read.columns, *columns]
    read.notes += notes


def read_rows(rows: Any, row_id: Callable[[int], str]) -> Read:
    """Rows of `datasets` as a table, with the class names of their schema.

    Raises:
        DataError: a class has no name.
    """
    columns = [_named_classes(rows, name, row_id) for name in rows.column_names]
    return Read(list(rows.column_names), columns, source=rows.data)


def named_classes(column: pa.ChunkedArray, names: Sequence[str]) -> pa.ChunkedArray:
    """A column of names, for one of their numbers; -1 is a missing name, as on the Hub.

    Raises:
        IndexError: a number has no name.
    """
    numbers = pc.if_else(pc.equal(column, -1), pa.scalar(None, column.type), column)
    return pc.take(pa.array(names, pa.string()), numbers)


def _named_classes(rows: Any, name: str, row_id: Callable[[int], str]) -> pa.ChunkedArray:
    column = rows.data.column(name)
    names = getattr(rows.features[name], "names", None)
    if not names:
        return column
    try:
        return named_classes(column, names)
    except IndexError:
        cells = column.to_pylist()
        row = next(
            k for k, cell in enumerate(cells) if cell is not None and not -2 < cell < len(names)
        )
        raise DataError(
            f"{row_id(row)}: {cells[row]} in column '{name}' is not the number of one of "
            f"its {len(names)} classes.",
            hint="Write the table again.",
        ) from None


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Suppress the progress bars of `datasets`, and its own reports of errors."""
    import datasets

    shown = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        with (
            quieted("datasets", level=logging.CRITICAL),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            yield
    finally:
        if not shown:
            datasets.enable_progress_bars()


def cause(error: BaseException) -> str:
    """The message of the first error that led to this one."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)
