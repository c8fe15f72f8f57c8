"""Tables (CSV, TSV, JSON, Parquet, Excel) as all data sets read them, with typed columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmft_core.data import TABLE_SUFFIXES, is_table_folder
from mmft_core.errors import DataError, MmftError, did_you_mean, first_line
from mmft_core.utils import some_suffixes, suffix_of, user_path
from mmft_tables.delimited import read_delimited
from mmft_tables.headers import Read, column_name
from mmft_tables.json_rows import read_json
from mmft_tables.parquet import read_parquet
from mmft_tables.row_ids import RowIds as RowIds
from mmft_tables.saved_tables import SPLIT as SPLIT
from mmft_tables.saved_tables import read_folder
from mmft_tables.separators import given_separator
from mmft_tables.table_options import TableOptions
from mmft_tables.workbooks import read_workbook


class Table:
    """A table, read as a whole; a large one is memory-mapped.

    Attributes:
        path: its file or folder.
        folder: the one that paths in its cells are relative to.
        columns: their names.
        row_id: what messages call a row, by its index. Rows are counted from 1 below the header,
            blank ones too; in JSON Lines, lines are counted.
        notes: how the file was understood, where that is not obvious.
        warnings: what is doubtful about it, as whole sentences.
    """

    def __init__(
        self,
        path: Path,
        *,
        separator: str | None = None,
        sheet: str | None = None,
        quoted: bool = True,
    ) -> None:
        """Args:
            separator: what separates the cells of a text table; None to find it.
            sheet: the sheet of a workbook; None for its first.
            quoted: whether quotation marks may enclose the cells of a text table.

        Raises:
            DataError: the file does not exist, is not a table, is damaged, or has no rows.
            ConfigError: the separator is not valid.
        """
        self.path = path
        read = _read(path, separator, sheet, quoted=quoted)
        self.folder = read.folder or path.parent
        self._columns, self._source = read.named(str(path)), read.source
        self._places = {id(column): place for place, column in enumerate(read.columns)}
        self.columns: tuple[str, ...] = tuple(self._columns)
        self._length = len(read.columns[0]) if read.columns else 0
        if not self._length:
            raise DataError(f"The table {path} has no rows.")
        if not self.columns:
            raise DataError(
                f"No column of the table {path} has a name.", hint="Put a header above the rows."
            )
        self.row_id = read.row_id or RowIds(path.name, read.numbers)
        self.notes, self.warnings = tuple(read.notes), tuple(read.warnings)

    def __len__(self) -> int:
        return self._length

    def cell(self, index: int, column: str) -> Any:
        return self._columns[column][index].as_py()

    def arrow(self, name: str) -> pa.ChunkedArray:
        """A column, as an Arrow array."""
        return self._columns[name]

    def mapped(self, name: str) -> Any:
        """A table of one column; if it is memory-mapped, it pickles as a reference to its file."""
        place = self._places[id(self._columns[name])]
        if self._source is None or place >= len(self._source.column_names):
            return pa.table({name: self._columns[name]})
        return self._source.select([self._source.column_names[place]])

    @property
    def metadata(self) -> Any:
        """What its file says about its columns, besides their types."""
        return None if self._source is None else self._source.schema.metadata

    def column(self, name: str) -> list[Any]:
        """All cells of a column."""
        return self._columns[name].to_pylist()  # type: ignore[no-any-return]

    def find_column(
        self, given: str | None, option: str, names: Sequence[str], *, needed: bool = True
    ) -> str | None:
        """The column that the user gave, or else the first with one of the usual names.

        Args:
            needed: whether a given column has to exist.

        Raises:
            DataError: the given column is needed and does not exist.
        """
        if given is not None:
            given = column_name(given)
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
        """The error for a table without a column that is clearly the one needed."""
        return DataError(
            f"The table {self.path} has no column that is clearly the {what}.",
            hint=f"Say which with --set dataset.{option}=NAME; "
            f"its columns are: {', '.join(self.columns)}."
            + "".join(f" {w}" for w in self.warnings),
        )


def open_table(options: TableOptions, dataset: str) -> Table:
    """The table that a data set's options name.

    Args:
        dataset: the data set's name, for messages.

    Raises:
        DataError: none is named, or it cannot be read.
    """
    if not options.path:
        raise DataError(f"The dataset {dataset} needs a table.", hint="Give --dataset PATH.")
    path = user_path(options.path)
    return Table(path, separator=options.separator, sheet=options.sheet)


def _read(path: Path, separator: str | None, sheet: str | None, *, quoted: bool) -> Read:
    if is_table_folder(path):
        return read_folder(path)
    if not path.is_file():
        raise DataError(f"There is no table {path}.", hint="Check the path.")
    form = suffix_of(path)
    if form not in TABLE_SUFFIXES:
        hint = f"Give a file ending in {some_suffixes(TABLE_SUFFIXES)}."
        raise DataError(f"{path} is not a table.", hint=hint)
    if path.stat().st_size == 0:
        raise DataError(f"The table {path} is empty.")
    separator = None if separator is None else given_separator(separator)
    try:
        if form == ".parquet":
            return read_parquet(path)
        if form == ".xlsx":
            return read_workbook(path, sheet)
        if form.startswith(".json"):
            return read_json(path)
        return read_delimited(path, separator, quoted=quoted)
    except MmftError:
        raise
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise DataError(
            f"The table {path} cannot be read: {first_line(error)}.", hint="Mend the file."
        ) from None
