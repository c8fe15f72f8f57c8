"""The classes that a column of a table names, and other targets of its rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from mmft_core.contracts import DatasetContext
from mmft_core.data import Indices
from mmft_core.errors import DataError
from mmft_datasets.class_doubts import class_doubts
from mmft_datasets.names import is_list, names_of
from mmft_tables.cells import no_single_values, single_values
from mmft_tables.tables import Table

LABEL_NAMES = ("label", "class", "target", "category")

_HINT = "Expected one class in each row; several are for multi-label tasks."

NO_LABEL, SEVERAL = -1, -2
"""The class indices of rows without a class, or with a list of them. Such rows are kept so
that the check can report them; see `label_fault`."""

_FAULTS = {
    NO_LABEL: "it has no label",
    SEVERAL: "it has a list for its label, where one class is needed",
}


def natural(name: str) -> tuple[int, int, str]:
    """Sort whole numbers by value, before other names."""
    return (0, int(name), name) if re.fullmatch(r"-?\d{1,18}", name) else (1, 0, name)


@dataclass(frozen=True)
class Targets:
    """The targets of a table's rows.

    Attributes:
        values: (n,) strings, or (n,) indices into `classes`, or None.
        labels: (n,) class indices; all equal where there are no classes.
        notes: which column they come from.
        warnings: what is doubtful about them, as whole sentences.
        column: the column of the table that holds them; None where there are none.
    """

    values: Any
    labels: Indices
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    column: str | None = None


def label_fault(label: int) -> str | None:
    """Why a row has no class, from its class index; None if it has one."""
    return _FAULTS.get(label)


def class_targets(table: Table, column: str, context: DatasetContext, *, noun: str) -> Targets:
    """The classes that a column names; the same ones whatever the type of the column.

    Args:
        noun: what a note calls them.

    Raises:
        DataError: there is one class or none to learn from, or the labels are lists.
    """
    found = classes_of(single_values(table, column, _HINT), column, noun=noun)
    classes = found.classes
    listed = np.flatnonzero(found.labels == SEVERAL)
    if len(listed) and not classes:
        raise no_single_values(table, column, "list", int(listed[0]), _HINT)
    if context.training and len(classes) < 2:
        raise DataError(
            f"Column '{column}' of {table.path} has "
            + (f"one class only, '{classes[0]}'." if classes else "no labels."),
            hint="At least two classes are needed.",
        )
    return found


def classes_of(
    cells: pa.ChunkedArray,
    column: str,
    *,
    noun: str,
    order: Callable[[str], Any] = natural,
) -> Targets:
    """The classes of cells (n,) that are single values.

    Args:
        column: its name, for messages.
        noun: what a note calls the classes.
        order: the key by which classes are sorted.
    """
    where = f"column '{column}'"
    names = names_of(cells)
    classes = tuple(sorted((n for n in names.values if not is_list(n)), key=order))
    index = {name: i for i, name in enumerate(classes)}
    of_name = [index.get(name, SEVERAL) for name in names.values]
    labels = np.array([*of_name, NO_LABEL], dtype=np.int64)[names.codes]
    sizes = np.bincount(labels[labels >= 0], minlength=len(classes)).tolist()
    return Targets(
        labels,
        labels,
        classes,
        ("; ".join([f"{noun} from {where}", *names.notes]),),
        tuple(class_doubts(dict(zip(classes, sizes, strict=True)), where)),
    )
