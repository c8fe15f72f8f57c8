"""A table whose columns are inputs of several modalities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from mmft_audio.recordings import RECORDINGS
from mmft_classification.label_sets import (
    LabelSets,
    divided_by_labels,
    find_label_sets,
)
from mmft_core.contracts import Dataset, DatasetContext
from mmft_core.errors import DataError
from mmft_datasets.names import names_of
from mmft_fusion.column_formats import (
    DATE_SETTINGS,
    FORMATTED,
    NUMBER_SETTINGS,
    Faults,
    NumberTargets,
    read_dates,
    read_numbers,
)
from mmft_fusion.column_kinds import Column, find_kinds, notes_on, only_column
from mmft_fusion.mixed_rows import Cells, Inputs, MixedRows, Pictures, Recordings, Texts
from mmft_fusion.options import ColumnKind, MixedTableOptions
from mmft_tables.cells import single_values
from mmft_tables.class_targets import LABEL_NAMES, Targets
from mmft_tables.divided_table import divided_table
from mmft_tables.file_columns import files_of
from mmft_tables.table_columns import (
    SPLIT_COLUMNS,
    find_targets,
)
from mmft_tables.tables import Table, open_table
from mmft_text.text_table import strings
from mmft_vision.image_folder import PICTURES

NUMBER_NAMES = ("target", "value", "y", "price", "score", "rating", "label")

TEXT_NAMES = ("caption", "description", "text", "title", "transcript")

_NOUNS = {"number": "number to predict", "text": "text to write"}

_TARGET_NAMES: Mapping[str, tuple[str, ...]] = {
    "class": LABEL_NAMES,
    "number": NUMBER_NAMES,
    "text": TEXT_NAMES,
    "pair": (),
    # A column of targets is not an input, even if nothing is to be predicted.
    "none": (*LABEL_NAMES, *NUMBER_NAMES),
}


def build(options: MixedTableOptions, context: DatasetContext) -> Dataset:
    """Read the table. Paths are relative to it.

    Raises:
        ConfigError: an option names a column that is not there.
        DataError: the table or a column is missing, or there are too few classes.
    """
    table = open_table(options, "mixed-table")
    sets = _label_sets(table, options, context)
    columns = _columns(table, options, context, sets)
    found = sets.targets() if sets else _targets(table, columns, options, context)
    inputs = _inputs(table, columns, context.modalities)
    numbers = _number_targets(table, options, context)
    rows = MixedRows(
        table.row_id,
        len(table),
        inputs,
        found.values,
        found.classes,
        partial=context.partial,
        numbers=numbers,
    )
    used = _used(columns, inputs)
    formats = {c.name: c.format.text for c in columns if c.name in used and c.format is not None}
    kept = formats | ({} if numbers is None else {numbers.column: numbers.format.text})
    notes = [f"columns: {'; '.join(map(str, columns))}", *notes_on(columns), *_told(numbers)]
    audio = {str(c.kind): c.name for c in columns if c.kind == "audio"}
    own = replace(options, columns=used, formats=kept, others="ignored")
    if sets is None:
        dataset = divided_table(
            table, rows, found, options, context, notes=notes, columns=audio, found=own
        )
    else:
        dataset = divided_by_labels(table, rows, sets, own, context, notes=notes, columns=audio)
    return replace(dataset, info=replace(dataset.info, formats=formats))


def describe(options: MixedTableOptions, context: DatasetContext) -> list[str]:
    """Say what each column was taken for.

    Raises:
        ConfigError, DataError: as `build`.
    """
    table = open_table(options, "mixed-table")
    sets = _label_sets(table, options, context)
    columns = _columns(table, options, context, sets)
    found = sets.targets() if sets else _targets(table, columns, options, context)
    width = max((len(column.name) for column in columns), default=0)
    lines = [f"column {c.name:{width}}  {c.kind:8}  {c.told}" for c in columns]
    told = [*notes_on(columns), *_told(_number_targets(table, options, context))]
    return [
        *table.notes,
        *lines,
        *found.notes,
        *told,
        "correct a wrong guess with --set dataset.columns.NAME=KIND",
        *(f"! {warning}" for warning in (*table.warnings, *found.warnings)),
    ]


def _label_sets(
    table: Table, options: MixedTableOptions, context: DatasetContext
) -> LabelSets | None:
    """The labels of each row; None where the task learns from something else."""
    if context.target != "labels":
        return None
    return find_label_sets(
        table,
        options,
        context,
        given=options.target_column,
        option="target_column",
        inputs=list(options.columns),
    )


def _columns(
    table: Table, options: MixedTableOptions, context: DatasetContext, sets: LabelSets | None
) -> list[Column]:
    """The columns of inputs: all but those of targets, splits and groups."""
    needed = not context.only_inputs
    if sets is None:
        names = _TARGET_NAMES[context.target]
        targets = [table.find_column(options.target_column, "target_column", names, needed=needed)]
    else:
        targets = [*sets.columns]
    split = table.find_column(options.split_column, "split_column", SPLIT_COLUMNS, needed=needed)
    others = [name for name in (*targets, split, options.group_column) if name is not None]
    guess = options.others == "guess"
    return find_kinds(table, options.columns, options.formats, others, guess=guess)


def _number_targets(
    table: Table, options: MixedTableOptions, context: DatasetContext
) -> NumberTargets | None:
    """The column of numbers to predict, where there is one.

    Raises:
        DataError: most of its cells can be read in two ways, and no cell says which is meant.
    """
    if context.target != "number":
        return None
    name = table.find_column(options.target_column, "target_column", NUMBER_NAMES)
    given, guess = options.formats.get(name or ""), options.others == "guess"
    return None if name is None else NumberTargets.of(table, name, given, guess=guess)


def _told(numbers: NumberTargets | None) -> list[str]:
    return [f"targets: {numbers.format.words}"] if numbers and numbers.format.words else []


def _targets(
    table: Table, columns: Sequence[Column], options: MixedTableOptions, context: DatasetContext
) -> Targets:
    """What is to be predicted; for pairs, what inputs that belong together have in common."""
    if context.target == "pair" and options.target_column is None:
        # Rows with the same text belong together; without texts each row is on its own.
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
    formatted = {kind: [c for c in columns if c.kind == kind] for kind in FORMATTED}
    categories = [column.name for column in columns if column.kind == "category"]
    if not any(formatted.values()) and not categories:
        return None
    faults: Faults = {}
    found = {}
    for kind, read, settings in (
        ("number", read_numbers, NUMBER_SETTINGS),
        ("date", read_dates, DATE_SETTINGS),
    ):
        found[kind] = {}
        for column in formatted[kind]:
            assert column.format is not None
            column.format.check(table, column.name, settings)
            found[kind][column.name] = read(table, column.name, column.format, faults)
    return Cells(
        found["number"],
        found["date"],
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
    "tabular": ("number", "date", "category"),
}


def _categories(table: Table, name: str) -> pa.ChunkedArray:
    """A column of names of categories, which are written as classes are."""
    return pa.chunked_array([names_of(single_values(table, name)).texts()], pa.string())
