"""Tables (CSV, TSV, JSONL, Parquet) as `datasets` reads them: typed columns, memory-mapped."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmft_core.data.row_ids import RowIds
from mmft_core.errors import DataError, did_you_mean, first_line
from mmft_core.quiet import quieted
from mmft_core.table_folders import is_table_folder

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")


SPLIT = "split"
"""The column that says to which split a row belongs."""


class Table:
    """A table whose cells are read on access: a file, or a folder of several.

    Where the files of a folder are of several splits, these are told by a column named "split".

    Attributes:
        path: of its file or folder.
        folder: that the paths in its cells are relative to.
        columns: their names.
        row_id: what messages call a row, by its index: rows count from 1 below the header.
        notes: what a reader of a report should know of how it was read.
    """

    def __init__(self, path: Path) -> None:
        """Raises:
        DataError: there is no such file, it is no table, or it has no rows.
        """
        self.path = path
        self._splits: Any = None
        self.notes: tuple[str, ...] = ()
        if is_table_folder(path):
            from mmft_core.data import saved_tables

            self._rows, self._splits, self.row_id = saved_tables.read(path)
            self.folder, self.notes = saved_tables.home(path), saved_tables.notes(path)
        else:
            self._rows, self.folder = _read(path), path.parent
            self.row_id = RowIds([(path.name, len(self._rows))])
        told = () if self._splits is None else (SPLIT,)
        self.columns: tuple[str, ...] = tuple(dict.fromkeys([*self._rows.column_names, *told]))
        if not len(self._rows):
            raise DataError(f"The table {path} has no rows.")

    def __len__(self) -> int:
        return len(self._rows)

    def cell(self, index: int, column: str) -> Any:
        return self.arrow(column)[index].as_py()

    def arrow(self, name: str) -> Any:
        """A column as Arrow has it, memory-mapped."""
        if name == SPLIT and self._splits is not None:
            return self._splits
        return self._rows.data.column(name)

    @property
    def arrow_metadata(self) -> Any:
        """What its file says of its columns, beside their types."""
        return self._rows.data.schema.metadata

    def mapped(self, name: str) -> Any:
        """A table of one column, memory-mapped, which pickles as the place where its file is."""
        return self._rows.data.select([name])

    def column(self, name: str) -> list[Any]:
        """All cells of a column."""
        return self.arrow(name).to_pylist()  # type: ignore[no-any-return]

    def find_column(
        self, given: str | None, option: str, names: Sequence[str], *, needed: bool = True
    ) -> str | None:
        """The column that the user gave, or else the first with one of the usual names.

        Args:
            needed: whether a given one has to be there.

        Raises:
            DataError: the given one is needed, and absent.
        """
        if given is not None:
            if given not in self.columns:
                if not needed:
                    return None
                raise DataError(
                    f"The table {self.path} has no column '{given}'."
                    f"{did_you_mean(given, self.columns)}",
                    hint=f"Its columns are: {', '.join(self.columns)}. Set dataset.{option}.",
                )
            return given
        by_lower = {column.lower(): column for column in reversed(self.columns)}
        return next((by_lower[name] for name in names if name in by_lower), None)

    def missing_column(self, what: str, option: str) -> DataError:
        return DataError(
            f"The table {self.path} has no column that is clearly the {what}.",
            hint=f"Say which with --set dataset.{option}=NAME; "
            f"its columns are: {', '.join(self.columns)}.",
        )


def _read(path: Path) -> Any:
    if not path.is_file():
        raise DataError(f"There is no table {path}.", hint="Check the path.")
    form = path.suffix.lower()
    if form not in SUFFIXES:
        raise DataError(f"{path} is not a table.", hint=f"Expected {', '.join(SUFFIXES)}.")
    if path.stat().st_size == 0:
        raise DataError(f"The table {path} is empty.")
    import datasets

    with quietly():
        try:
            if form == ".parquet":
                return datasets.Dataset.from_parquet(str(path))
            if form == ".jsonl":
                return datasets.Dataset.from_json(str(path))
            separator = "\t" if form == ".tsv" else ","
            header = _header(path, separator)
            # As text: numbers keep their leading zeros, and a class called "NA" is not missing.
            features = datasets.Features({name: datasets.Value("string") for name in header})
            return datasets.Dataset.from_csv(
                str(path), features=features, sep=separator, keep_default_na=False
            )
        except DataError:
            raise
        except UnicodeDecodeError:
            raise _not_utf8(path) from None
        except ValueError as error:
            if "no data" in str(error):  # A header alone.
                raise DataError(f"The table {path} has no rows.") from None
            raise _unreadable(path, error) from None
        except Exception as error:  # datasets wraps pandas', pyarrow's and its own errors.
            raise _unreadable(path, error) from None


def _unreadable(path: Path, error: BaseException) -> DataError:
    form = path.suffix.lower()
    line = _bad_line(path) if form == ".jsonl" else None
    if line is not None:
        return line
    wanted = "" if form == ".parquet" else "; it must be UTF-8 with the same columns in every row"
    return DataError(
        f"The table {path} cannot be read: {cause(error).rstrip('.')}.",
        hint=f"Mend the file{wanted}.",
    )


def _bad_line(path: Path) -> DataError | None:
    """The first line that is no record in JSON."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                if not line.strip() or isinstance(json.loads(line), dict):
                    continue
                cause = "it is no record"
            except (ValueError, RecursionError) as error:
                cause = f"it is no JSON: {first_line(error)}"
            return DataError(
                f"{path}, line {number}: {cause}.",
                hint='Expected one record a line, as {"text": "...", "label": "..."}.',
            )
    return None


def _not_utf8(path: Path) -> DataError:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return DataError(
                    f"{path}, line {number}: byte {line[error.start]:#04x} is no UTF-8.",
                    hint="Save it as UTF-8: `iconv -f latin1 -t utf-8 OLD > NEW`, where latin1 "
                    "stands for what it is now.",
                )
    return DataError(f"{path} is no UTF-8.", hint="Save it as UTF-8.")


def _header(path: Path, separator: str) -> list[str]:
    """The names of the columns, all of whose rows must have a cell for each.

    pandas would take the first cell of a longer row for an index and shift the others, and give
    a second column of one name another.

    Raises:
        DataError: a name is there twice, or a row has more or fewer cells; names its line.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, delimiter=separator)
        header = next(rows)
        if len(header) == 1 and re.search(r"\w[;\t|,]\w", header[0]):
            raise DataError(
                f"{path}, line 1: the header '{header[0]}' is one column.",
                hint="Cells are separated by commas in a .csv, by tabs in a .tsv.",
            )
        twice = next((name for i, name in enumerate(header) if name in header[:i]), None)
        if twice is not None:
            raise DataError(
                f"{path}, line 1: two columns are named '{twice}'.",
                hint="Rename or remove one of them.",
            )
        for row in rows:
            if row and len(row) != len(header):
                raise DataError(
                    f"{path}, line {rows.line_num}: {len(row)} cells, "
                    f"but the header has {len(header)}.",
                    hint="Put quotes around cells that hold the separator.",
                )
    return header


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without progress bars, and without the library's own account of an error."""
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
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error).removeprefix("Error tokenizing data. C error: ")
