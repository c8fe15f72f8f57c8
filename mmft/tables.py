"""Data that a program holds in memory, written to a table that the data sets of plugins read.

A run must be resumed, evaluated and repeated by its data, so these become a file: Parquet in the
user's cache, named after a digest of its content. Pictures and recordings in cells are stored as
files are, losslessly (PNG or TIFF, FLAC).
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from mmft_core.data import SPLIT_NAMES
from mmft_core.errors import DataError, first_line
from mmft_core.utils import filled_folder, memory_tables, storage_errors

Records: TypeAlias = Sequence[Mapping[str, Any]]
"""A list of dictionaries, one for each row; missing keys are empty cells."""

Data: TypeAlias = Any
"""A pandas DataFrame, a `datasets.Dataset`, or `Records`; or a mapping from the names of splits to
any of these (a `datasets.DatasetDict`, {"train": frame, "test": frame})."""

_IN_PNG = {"1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA"}
"""Modes of pictures that PNG keeps as they are."""

_TRIED = 20
"""Cells of a column that are looked at to see whether they are paths."""


def place_of(data: str | os.PathLike[str] | Data) -> str:
    """What `--dataset` takes for some data: a name or a path as it is; others are written down.

    Raises:
        DataError: the data cannot be a table; names the column.
        StorageError: the cache cannot be written.
    """
    if isinstance(data, str):
        return data
    if isinstance(data, os.PathLike):
        return os.fspath(data)
    splits = _splits(data)
    if splits is None:
        return str(_written({"rows": _table(data)}) / "rows.parquet")
    shards = {f"{name}-00000-of-00001": _table(part) for name, part in splits.items()}
    return str(_written(shards))


def is_table(data: object) -> bool:
    """Whether this is rows: a DataFrame, a `datasets.Dataset` or a list of dictionaries."""
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        rows = [isinstance(row, Mapping) and not _is_recording(row) for row in data]
        return bool(rows) and all(rows)
    return _is_frame(data) or _is_hub(data, "Dataset")


def _splits(data: Data) -> dict[str, Data] | None:
    """The parts of data that come divided; None for others.

    Raises:
        DataError: a part's name is not that of a split.
    """
    if not isinstance(data, Mapping):
        return None
    if not data:
        raise DataError("The data have no rows.")
    for name in data:
        if str(name).lower() not in SPLIT_NAMES:
            raise DataError(
                f"The data have a part named {name!r}, which is not the name of a split.",
                hint="Name the parts train, val and test; only train is required. A single row "
                "is a list with one dictionary.",
            )
    return dict(data)


def _table(data: Data) -> Any:
    """The data as a `pyarrow.Table`, or as a `datasets.Dataset`.

    Raises:
        DataError: they are something else, or hold what no table can.
    """
    if (_is_frame(data) or _is_hub(data, "Dataset")) and len(data) == 0:
        raise DataError("The data have no rows.")
    if _is_hub(data, "Dataset"):
        return data
    if _is_frame(data):
        twice = list(data.columns[data.columns.duplicated()])
        if twice:
            raise DataError(
                f"The DataFrame has several columns named {twice[0]!r}.", hint="Rename one of them."
            )
        strange = [name for name in data.columns if not isinstance(name, str)]
        if strange:
            raise DataError(
                f"The DataFrame's column {strange[0]!r} has a name that is not a string.",
                hint="Rename it: frame.columns = [...].",
            )
        return _frame(data)
    if is_table(data):
        names = dict.fromkeys(name for row in data for name in row)
        return _from_columns({name: [row.get(name) for row in data] for name in names})
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        for number, row in enumerate(data):
            if not isinstance(row, Mapping):
                raise DataError(
                    f"Item {number} of the data is of type {type(row).__name__}.",
                    hint="Give a list of dictionaries, one for each row.",
                )
        raise DataError("The data have no rows.")
    raise DataError(
        f"Data of type {type(data).__name__} were given.",
        hint="Give a path, the name of a data set, a pandas DataFrame, a datasets.Dataset or a "
        "list of dictionaries.",
    )


def _frame(frame: Any) -> Any:
    """A DataFrame, whose columns of text and of Python objects are looked into cell by cell."""
    import pyarrow as pa

    own = [n for n in frame.columns if frame[n].dtype == object or frame[n].dtype.name == "str"]
    table = pa.Table.from_pandas(frame.drop(columns=own), preserve_index=False)
    # pandas has NaN for a missing object.
    cells = {name: [None if c is None or c != c else c for c in frame[name]] for name in own}
    added = _from_columns(cells)
    columns = [(added if name in own else table).column(name) for name in frame.columns]
    return pa.table(columns, names=list(frame.columns))


def _from_columns(columns: Mapping[str, list[Any]]) -> Any:
    import pyarrow as pa

    arrays = {}
    for name, cells in columns.items():
        try:
            arrays[str(name)] = pa.array(_absolute([_cell(cell) for cell in cells]))
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise DataError(
                f"Column {name!r} cannot be written to a table: "
                f"{_mixture(cells) or first_line(error)}.",
                hint="The cells of a column must be of one type: text, numbers, dates, lists, "
                "PIL images, paths or bytes.",
            ) from None
    return pa.table(arrays)


def as_file(value: Any) -> Any:
    """A recording as the bytes of a lossless file; anything else as it is.

    Raises:
        DataError: it is a recording that no file can hold.
    """
    if not _is_recording(value):
        return value
    import soundfile

    content = io.BytesIO()
    try:
        soundfile.write(content, value["array"], int(value["sampling_rate"]), format="FLAC")
    except (soundfile.SoundFileError, TypeError, ValueError) as error:
        raise DataError(
            f"A recording cannot be written: {first_line(error)}.",
            hint='Give {"array": samples of shape (T,) or (T, channels), "sampling_rate": rate}.',
        ) from None
    return content.getvalue()


def _mixture(cells: Sequence[Any]) -> str:
    """Which rows hold cells of different types; "" if none do."""
    first: dict[str, int] = {}
    for row, cell in enumerate(cells):
        if cell is not None:
            first.setdefault(type(cell).__name__, row)
    if len(first) < 2:
        return ""
    (one, row), (other, another) = list(first.items())[:2]
    return f"row {row} holds {one} and row {another} holds {other}"


def _cell(cell: Any) -> Any:
    """A picture or a recording as the content of a file; anything else as it is."""
    if isinstance(cell, Path):
        return str(cell)
    if _is_recording(cell):
        return {"bytes": as_file(cell), "path": None}
    if _is_picture(cell):
        content = io.BytesIO()
        # PNG has no CMYK and no floating point; TIFF has.
        form = "PNG" if cell.mode in _IN_PNG else "TIFF"
        cell.save(content, format=form)
        return {"bytes": content.getvalue(), "path": None}
    return cell


def _absolute(cells: list[Any]) -> list[Any]:
    """Paths below the current folder in full, for the table will lie elsewhere."""
    tried = [cell for cell in cells if cell][:_TRIED]
    if not tried or not all(isinstance(cell, str) and _is_file(cell) for cell in tried):
        return cells
    return [os.path.abspath(cell) if cell else cell for cell in cells]  # noqa: PTH100


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # A text that is no name.
        return False


def _written(tables: Mapping[str, Any]) -> Path:
    """A folder with a Parquet file for each table, named after a digest of them all."""
    from pyarrow import parquet

    root = memory_tables()
    with storage_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".") as temporary:
            digest = hashlib.sha256()
            for name, table in tables.items():
                file = Path(temporary) / f"{name}.parquet"
                if _is_hub(table, "Dataset"):
                    table.to_parquet(file)
                else:
                    parquet.write_table(table, file)
                with file.open("rb") as content:
                    own = hashlib.file_digest(content, "sha256").digest()
                digest.update(name.encode() + own)

            def fill(folder: Path) -> None:
                shutil.copytree(temporary, folder, dirs_exist_ok=True)

            return filled_folder(root / digest.hexdigest()[:16], fill)


def _is_frame(data: object) -> bool:
    return "pandas" in sys.modules and isinstance(data, sys.modules["pandas"].DataFrame)


def _is_hub(data: object, name: str) -> bool:
    return "datasets" in sys.modules and isinstance(data, getattr(sys.modules["datasets"], name))


def _is_recording(value: object) -> bool:
    return isinstance(value, Mapping) and {"array", "sampling_rate"} <= value.keys()


def _is_picture(cell: object) -> bool:
    return "PIL.Image" in sys.modules and isinstance(cell, sys.modules["PIL.Image"].Image)
