"""A table of any content as a data set, like the built-in ones, but with rows read by functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from mmft_core.contracts import Dataset, DatasetContext, Origin, Sample
from mmft_core.data import finite_number
from mmft_core.errors import ConfigError, DataError, SampleError, did_you_mean
from mmft_tables.class_targets import Targets
from mmft_tables.divided_table import divided_table
from mmft_tables.table_columns import find_targets, texts_of
from mmft_tables.table_options import TableOptions
from mmft_tables.tables import Table, open_table
from mmft_tables.target_rows import TargetRows

Read = Callable[[Mapping[str, Any]], Any]
"""Makes a raw input from the cells of a row, by column. It is sent to worker processes, so it must
be a function of a module. A `ValueError` says what is wrong with the row; None means no input."""


def table_dataset(
    options: TableOptions,
    context: DatasetContext,
    *,
    inputs: Mapping[str, Read],
    columns: Sequence[str],
    target: str | None = None,
) -> Dataset:
    """Read the table that the options name: CSV, TSV, JSON, JSON Lines, Parquet or Excel.

    Splits are made by a column named split (or `options.split_column`), or else at random by
    class; rows of one group (`options.group_column`) stay together. Rows that cannot be used are
    reported by their number before training.

    Args:
        inputs: what makes the raw input of each modality.
        columns: the columns that they read.
        target: the column of the targets: class names, numbers or texts, whichever the task learns
            from (`context.target`). None finds one with a usual name, such as label or target.

    Raises:
        DataError: the table or a column is missing, or there are too few classes.
        ConfigError: the task learns from something else.
    """
    table = open_table(options, "table")
    for column in columns:
        if column not in table.columns:
            raise DataError(
                f"The table {table.path} has no column '{column}'."
                f"{did_you_mean(column, table.columns)}",
                hint=f"Its columns are: {', '.join(table.columns)}.",
            )
    found = _targets(table, target, columns, context)
    rows = TableRows(table, inputs, tuple(columns), found)
    notes = [f"inputs from {', '.join(columns)}"]
    return divided_table(table, rows, found, options, context, notes=notes)


class TableRows(TargetRows):
    """Rows whose inputs are made by functions."""

    def __init__(
        self, table: Table, inputs: Mapping[str, Read], columns: tuple[str, ...], targets: Targets
    ) -> None:
        self.row_id, self.inputs, self.columns = table.row_id, dict(inputs), columns
        self.cells = [table.arrow(column) for column in columns]
        self.targets, self.classes = targets.values, targets.classes

    def __len__(self) -> int:
        return len(self.cells[0])

    def sample_id(self, index: int) -> str:
        return self.row_id(index)

    def row(self, index: int) -> dict[str, Any]:
        """The cells of a row, by column."""
        return {c: cells[index].as_py() for c, cells in zip(self.columns, self.cells, strict=True)}

    def __getitem__(self, index: int) -> Sample:
        row, sample_id = self.row(index), self.sample_id(index)
        try:
            made = {modality: read(row) for modality, read in self.inputs.items()}
        except ValueError as error:
            raise SampleError(sample_id, str(error)) from None
        return Sample(made, self.target(index), sample_id)

    def target(self, index: int) -> Any:
        if not isinstance(self.targets, list):
            return super().target(index)
        number = finite_number(self.targets[index] or None)
        if number is None:
            raise SampleError(self.sample_id(index), "its target is not a number", kind="no-label")
        return number

    def cell(self, index: int) -> str | None:
        return self.targets[index] if isinstance(self.targets, list) else super().cell(index)

    def origin(self, index: int) -> Origin:
        row = repr(self.row(index))  # Cells may be dates, or lists of anything.
        return Origin((row, self.cell(index)), inputs=row)


def _targets(
    table: Table, given: str | None, inputs: Sequence[str], context: DatasetContext
) -> Targets:
    if context.target not in ("class", "number", "text", "none"):
        raise ConfigError(
            f"The task learns from targets of the type {context.target}, which this table does "
            "not give.",
            hint="Declare the types that it gives in DatasetSpec.targets: class, number, text.",
        )
    if context.target != "number":
        return find_targets(
            table, given, inputs[0], context, noun="text", names=("target",), read=_text_column
        )
    column = table.find_column(given, "target_column", ("target", "label", "value"))
    if column is None:
        raise table.missing_column("number", "target_column")
    labels = np.zeros(len(table), dtype=np.int64)
    notes = (f"targets from column '{column}'",)
    return Targets(texts_of(table, column), labels, notes=notes, column=column)


def _text_column(table: Table, column: str) -> Any:
    return pa.chunked_array([texts_of(table, column)], pa.string())
