"""What the columns of a table hold: targets, splits, groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from mmft_core.contracts import DatasetContext, Split
from mmft_core.data import SPLIT_NAMES, Indices, Subset
from mmft_core.errors import DataError
from mmft_datasets.names import names_of
from mmft_datasets.set_aside import set_aside
from mmft_tables.cells import single_values, texts_of
from mmft_tables.class_targets import LABEL_NAMES, Targets, class_targets
from mmft_tables.tables import Table

SPLIT_COLUMNS = ("split",)


def find_targets(
    table: Table,
    given: str | None,
    inputs: str,
    context: DatasetContext,
    *,
    noun: str,
    names: Sequence[str],
    read: Callable[[Table, str], Any],
) -> Targets:
    """The targets that a task learns from.

    Args:
        given: the column that the user named; None to find it.
        inputs: the column of the inputs, which is not a target.
        noun: what messages call a target that is not a class.
        names: usual names of columns of such targets.
        read: reads a column of such targets.

    Raises:
        DataError: there is no such column, or there are too few classes.
    """
    none = np.zeros(len(table), dtype=np.int64)
    if context.target == "none":
        return Targets(None, none)
    by_class = context.target == "class"
    column = table.find_column(given, "target_column", LABEL_NAMES if by_class else names)
    if column is None and by_class:
        column = only_other(table, inputs)
    if column is None or column == inputs:
        raise table.missing_column("class" if by_class else noun, "target_column")
    if not by_class:
        notes = (f"targets from column '{column}'",)
        return Targets(read(table, column), none, notes=notes, column=column)
    return replace(class_targets(table, column, context, noun="targets"), column=column)


def only_other(table: Table, inputs: str) -> str | None:
    """In a table of two columns, the one beside the inputs, if its cells recur as classes do."""
    others = [column for column in table.columns if column != inputs]
    if len(table.columns) != 2 or len(others) != 1:
        return None
    cells = table.arrow(others[0])
    if pa.types.is_nested(cells.type):  # An error then says that they are not classes.
        return others[0]
    return others[0] if 2 * len(set(texts_of(table, others[0]))) <= len(table) else None


def divide_rows(
    table: Table,
    split: Split,
    labels: Indices,
    column: str | None,
    shares: Mapping[str, float],
    context: DatasetContext,
) -> tuple[dict[str, Split], list[str]]:
    """Divide rows as a column says, or else at random by class or group; with notes on how.

    Args:
        split: all rows.
        labels: (n,) class indices; all equal where there are no classes.
        column: the one that says train, val or test; if none says val, it is set aside from train.
        shares: of "val" and "test".

    Raises:
        DataError: a row names another split, a class is missing from train, or rows of one group
            are in several splits.
    """
    if column is None:
        return set_aside(split, labels, shares, context.seed)
    texts = [text.lower() for text in texts_of(table, column)]
    for row, text in enumerate(texts):
        if text not in SPLIT_NAMES:
            raise DataError(
                f"{table.row_id(row)}: '{text}' in column '{column}' is not a split.",
                hint="Expected train, val or test.",
            )
    of_row = np.array([SPLIT_NAMES[text] for text in texts])
    chosen = {name: np.flatnonzero(of_row == name) for name in ("train", "val", "test")}
    if context.training:
        _check_train(table, split, labels, chosen, unseen=context.unseen_classes)
        _check_groups(table, split.groups(), of_row.tolist())
    splits: dict[str, Split] = {n: Subset(split, rows) for n, rows in chosen.items() if len(rows)}
    notes = [f"splits from column '{column}'"]
    if "test" not in splits:
        notes.append("there is no test split")
    if "train" in splits and "val" not in splits and shares["val"]:
        own = labels[chosen["train"]]
        parts, more = set_aside(splits["train"], own, {"val": shares["val"]}, context.seed)
        return splits | parts, notes + more
    return splits, notes


def _check_train(
    table: Table, split: Split, labels: Indices, chosen: Mapping[str, Indices], *, unseen: bool
) -> None:
    if not len(chosen["train"]):
        raise DataError(f"No row of {table.path} belongs to the train split.")
    if unseen:
        return
    known = labels[chosen["train"]]
    for rows in chosen.values():
        strange = rows[(labels[rows] >= 0) & ~np.isin(labels[rows], known)]
        if len(strange):
            row = int(strange[0])
            raise DataError(
                f"{table.row_id(row)}: class '{split.target(row)}' has no sample in the train "
                "split.",
                hint="Put samples of it into train, or remove it.",
            )


def groups_of(table: Table, column: str | None, context: DatasetContext) -> list[str] | None:
    """The group of each row by the column that the user gave; None without one.

    Data that are not trained on need no such column.

    Raises:
        DataError: there is no such column, or a cell of it is empty; names its row.
    """
    if column is None or (not context.training and column not in table.columns):
        return None
    table.find_column(column, "group_column", ())
    groups = names_of(single_values(table, column)).texts()
    if context.training and "" in groups:
        raise DataError(
            f"{table.row_id(groups.index(''))}: its cell in the group column '{column}' is empty.",
            hint="Fill it in; give a row without a group a unique name.",
        )
    return groups


def _check_groups(table: Table, groups: Sequence[str] | None, parts: Sequence[str]) -> None:
    """Check that the splits of a column keep groups together."""
    home: dict[str, str] = {}
    for row, (group, part) in enumerate(zip(groups or (), parts, strict=False)):
        if home.setdefault(group, part) != part:
            raise DataError(
                f"{table.row_id(row)}: group '{group}' is in {part} and also in {home[group]}.",
                hint=f"Split it again: mmft data split {table.path} -o NEW.csv --group COLUMN",
            )
