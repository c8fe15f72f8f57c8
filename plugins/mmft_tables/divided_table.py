"""From the rows of a table to a data set: its splits, and notes on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo, Split
from mmft_core.data import Grouped
from mmft_tables.class_targets import Targets
from mmft_tables.table_columns import SPLIT_COLUMNS, divide_rows, groups_of
from mmft_tables.table_options import TableOptions
from mmft_tables.tables import Table


def divided_table(
    table: Table,
    rows: Split,
    targets: Targets,
    options: TableOptions,
    context: DatasetContext,
    *,
    notes: Sequence[str],
    columns: Mapping[str, str] | None = None,
    found: Any = None,
) -> Dataset:
    """Divide the rows of a table, by the column that says how or at random; groups stay together.

    Args:
        targets: of the rows.
        notes: where the inputs come from.
        columns: the inputs' column for each modality.
        found: the options, completed with what was found in the data; see `Dataset.options`.

    Raises:
        DataError: a row names a split that does not exist, a class is missing from train, or rows
            of one group are in several splits.
    """
    column = table.find_column(
        options.split_column, "split_column", SPLIT_COLUMNS, needed=not context.only_inputs
    )
    shares = {"val": options.val, "test": options.test}
    groups = groups_of(table, options.group_column, context)
    if groups is not None:
        rows = Grouped(rows, groups)
        notes = [*notes, f"groups from column '{options.group_column}'"]
    labels = targets.labels
    if groups is not None and context.unseen_classes:
        labels = np.zeros_like(labels)  # Train need not have all classes; a group may be one.
    splits, more = divide_rows(table, rows, labels, column, shares, context)
    return Dataset(
        info=DatasetInfo(
            name=str(table.path),
            classes=targets.classes,
            source=str(table.path),
            notes=(*table.notes, *notes, *targets.notes, *more),
            warnings=(*table.warnings, *targets.warnings),
        ),
        splits=splits,
        options=found,
        columns={**(columns or {}), **({"target": targets.column} if targets.column else {})},
    )
