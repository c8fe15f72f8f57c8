"""A table whose columns are inputs of several modalities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from mmft_audio.recordings import RECORDINGS
from mmft_text.text_table import strings
from mmft_vision.image_folder import PICTURES

from mmft_core.contracts import Dataset, DatasetContext
from mmft_core.data.cells import single_values
from mmft_core.data.class_targets import LABEL_NAMES, Targets
from mmft_core.data.divided_table import divided_table
from mmft_core.data.file_columns import files_of
from mmft_core.data.names import names_of
from mmft_core.data.table_columns import (
    SPLIT_COLUMNS,
    find_targets,
    texts_of,
)
from mmft_core.data.tables import Table, open_table
from mmft_core.errors import DataError
from mmft_fusion.column_kinds import Column, find_kinds, is_missing, is_number, only_column
from mmft_fusion.mixed_rows import Cells, Inputs, MixedRows, Pictures, Recordings, Texts
from mmft_fusion.options import ColumnKind, MixedTableOptions

NUMBER_NAMES = ("target", "value", "y", "price", "score", "rating", "label")

TEXT_NAMES = ("caption", "description", "text", "title", "transcript")

_NOUNS = {"number": "number to predict", "text": "text to write"}

_TARGET_NAMES: Mapping[str, tuple[str, ...]] = {
    "class": LABEL_NAMES,
    "number": NUMBER_NAMES,
    "text": TEXT_NAMES,
    "pair": (),
    # Where nothing is to be predicted, a column of targets is none of the inputs either.
    "none": (*LABEL_NAMES, *NUMBER_NAMES),
}


def build(options: MixedTableOptions, context: DatasetContext) -> Dataset:
    """Read the table. Paths are relative to it.

    Raises:
        ConfigError: an option names a column that is not there.
        DataError: the table or a column is missing, or there are too few classes.
    """
    table = open_table(options, "mixed-table")
    columns = _columns(table, options, context)
    found = _targets(table, columns, options, context)
    inputs = _inputs(table, columns, context.modalities)
    rows = MixedRows(
        table.row_id, len(table), inputs, found.values, found.classes, partial=context.partial
    )
    return divided_table(
        table,
        rows,
        found,
        options,
        context,
        notes=[f"columns: {'; '.join(map(str, columns))}"],
        found=replace(options, columns=_used(columns, inputs), others="ignored"),
    )


def describe(options: MixedTableOptions, context: DatasetContext) -> list[str]:
    """Say what each column was taken for.

    Raises:
        ConfigError, DataError: as `build`.
    """
    table = open_table(options, "mixed-table")
    columns = _columns(table, options, context)
    found = _targets(table, columns, options, context)
    width = max((len(column.name) for column in columns), default=0)
    lines = [
        f"column {column.name:{width}}  {column.kind:8}  {column.reason or 'as told'}"
        for column in columns
    ]
    mend = "a wrong guess is mended by --set dataset.columns.NAME=KIND"
    doubts = [f"! {warning}" for warning in (*table.warnings, *found.warnings)]
    return [*table.notes, *lines, *found.notes, mend, *doubts]


def _columns(table: Table, options: MixedTableOptions, context: DatasetContext) -> list[Column]:
    """The columns of inputs: all but those of targets, splits and groups."""
    names, needed = _TARGET_NAMES[context.target], not context.only_inputs
    target = table.find_column(options.target_column, "target_column", names, needed=needed)
    split = table.find_column(options.split_column, "split_column", SPLIT_COLUMNS, needed=needed)
    others = [name for name in (target, split, options.group_column) if name is not None]
    return find_kinds(table, options.columns, others, guess=options.others == "guess")


def _targets(
    table: Table, columns: Sequence[Column], options: MixedTableOptions, context: DatasetContext
) -> Targets:
    """What is to be predicted; of pairs, what tells that inputs belong together."""
    if context.target == "pair" and options.target_column is None:
        # Rows with the same text are each other's partners; without one each has but its own.
        texts = _texts(table, columns) if "text" in (context.modalities or _READERS) else None
        own = [(texts.read(k, "") if texts else None) or f"row {k + 1}" for k in range(len(table))]
        none = np.zeros(len(table), dtype=np.int64)
        return Targets(pa.chunked_array([pa.array(own, pa.string())]), none)
    return find_targets(
        table,
        options.target_column,
        "",
        context,
        noun=_NOUNS.get(context.target, "name of what belongs together"),
        names=_TARGET_NAMES[context.target],
        read=strings,
    )


def _inputs(
    table: Table, columns: Sequence[Column], modalities: Sequence[str]
) -> dict[str, Inputs]:
    """The inputs of each modality that is asked for.

    Raises:
        DataError: there is no column of one.
    """
    inputs: dict[str, Inputs] = {}
    for modality in modalities or _READERS:
        own = _READERS[modality](table, columns) if modality in _READERS else None
        if own is not None:
            inputs[modality] = own
        elif modalities:
            kinds = " or ".join(_KINDS.get(modality, (modality,)))
            raise DataError(
                f"{table.path} has no column of kind {kinds}, which the {modality} backbone needs. "
                f"Its columns were taken for: {'; '.join(map(str, columns))}.",
                hint="Say what a column holds with --set dataset.columns.NAME=KIND.",
            )
    return inputs


def _used(columns: Sequence[Column], modalities: Iterable[str]) -> dict[str, ColumnKind]:
    """The kinds of the columns that go into these modalities."""
    kinds = {kind for modality in modalities for kind in _KINDS[modality]}
    return {column.name: column.kind for column in columns if column.kind in kinds}


def _pictures(table: Table, columns: Sequence[Column]) -> Inputs | None:
    name = only_column(columns, "image", table)
    return None if name is None else Pictures(files_of(table, name, PICTURES, table.folder))


def _recordings(table: Table, columns: Sequence[Column]) -> Inputs | None:
    name = only_column(columns, "audio", table)
    return None if name is None else Recordings(files_of(table, name, RECORDINGS, table.folder))


def _texts(table: Table, columns: Sequence[Column]) -> Inputs | None:
    names = [column.name for column in columns if column.kind == "text"]
    return Texts({name: strings(table, name) for name in names}) if names else None


def _cells(table: Table, columns: Sequence[Column]) -> Inputs | None:
    numbers = [column.name for column in columns if column.kind == "number"]
    categories = [column.name for column in columns if column.kind == "category"]
    if not numbers and not categories:
        return None
    faults: dict[int, str] = {}
    return Cells(
        {name: _numbers(table, name, faults) for name in numbers},
        {name: _categories(table, name) for name in categories},
        faults,
    )


_READERS: Mapping[str, Callable[[Table, Sequence[Column]], Inputs | None]] = {
    "image": _pictures,
    "text": _texts,
    "audio": _recordings,
    "tabular": _cells,
}

_KINDS: Mapping[str, tuple[ColumnKind, ...]] = {
    "image": ("image",),
    "text": ("text",),
    "audio": ("audio",),
    "tabular": ("number", "category"),
}


def _categories(table: Table, name: str) -> pa.ChunkedArray:
    """A column of names of categories, which are written as classes are."""
    return pa.chunked_array([names_of(single_values(table, name)).texts()], pa.string())


def _numbers(table: Table, name: str, faults: dict[int, str]) -> Any:
    """A column of numbers (n,), NaN where a cell is empty.

    Args:
        faults: takes what is wrong, by row.
    """
    found = np.full(len(table), np.nan)
    for row, text in enumerate(texts_of(table, name)):
        if is_number(text):
            found[row] = float(text)
        elif not is_missing(text):
            faults[row] = (
                f"{text!r} in column '{name}' is no number (should it be none, give "
                f"--set dataset.columns.{name}=category, or ignored)"
            )
    return found
