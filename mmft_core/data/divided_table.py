"""From the rows of a table to a data set: its splits, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo, Split
from mmft_core.data.table_columns import SPLIT_COLUMNS, Targets, divide_rows
from mmft_core.data.tables import Table


class TableOptions(Protocol):
    """The options of data sets that are tables."""

    @property
    def split_column(self) -> str | None: ...
    @property
    def val(self) -> float: ...
    @property
    def test(self) -> float: ...


def divided_table(
    table: Table,
    rows: Split,
    targets: Targets,
    options: TableOptions,
    context: DatasetContext,
    *,
    notes: Sequence[str],
    found: Any = None,
) -> Dataset:
    """Divide the rows of a table, by the column that says how or at random.

    Args:
        targets: of the rows.
        notes: on where the inputs are from.
        found: the options with what was found out filled in; see `Dataset.options`.

    Raises:
        DataError: a row names a split that there is not, or a class is missing from train.
    """
    column = table.find_column(options.split_column, "split_column", SPLIT_COLUMNS)
    shares = {"val": options.val, "test": options.test}
    splits, more = divide_rows(table, rows, targets.labels, column, shares, context)
    return Dataset(
        info=DatasetInfo(
            name=str(table.path),
            classes=targets.classes,
            source=str(table.path),
            notes=(*notes, *targets.notes, *more),
        ),
        splits=splits,
        options=found,
    )
