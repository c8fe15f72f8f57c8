"""Tables whose rows have any number of labels: as lists, as separated cells, or as columns of 0
and 1."""

from __future__ import annotations

import ast
import json
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from mmft_classification.options import LabelTableOptions
from mmft_core.contracts import Dataset, DatasetContext, Origin, Sample, Split
from mmft_core.data import Indices
from mmft_core.errors import DataError, SampleError, some_of
from mmft_datasets.class_doubts import class_doubts
from mmft_datasets.names import identity, is_list, names_of
from mmft_tables.cells import single_values, text_of
from mmft_tables.class_targets import LABEL_NAMES, Targets, natural
from mmft_tables.divided_table import divided_table
from mmft_tables.table_columns import SPLIT_COLUMNS
from mmft_tables.tables import Table

NAMES = ("labels", "tags", "classes", "categories", "topics", "genres", *LABEL_NAMES)
"""Usual names of columns of labels."""

_SEPARATORS = (";", "|")
"""Those that are looked for; a comma, which names may hold, only where there are none of these."""

_BITS: Mapping[str, bool] = {"0": False, "1": True, "False": False, "True": True}

_MOST_BITS = 0.9
"""Share of a column's cells that are 0 or 1 from which on the others are mistakes."""

Raw = list[Any] | str
"""The labels of a row as they stand there, or what is wrong with them."""


@dataclass(frozen=True)
class LabelSets:
    """The labels of each row of a table.

    Attributes:
        classes: their names.
        starts: (n + 1,) where each row's begin in `labels`.
        labels: indices into `classes`, of all rows, in order within a row.
        faults: by row, what is wrong with its labels.
        notes: how they were understood.
        warnings: what is doubtful about them, as whole sentences.
        columns: of the table, that they are from.
        separator: of the labels in a cell, where there is one.
        bits: whether each column is a label.
    """

    classes: tuple[str, ...]
    starts: Indices
    labels: Indices
    faults: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    separator: str | None = None
    bits: bool = False

    @classmethod
    def of_names(cls, names: Iterable[Iterable[str]], classes: Sequence[str]) -> LabelSets:
        """The sets of these names (n), which are all among the classes."""
        place = {name: index for index, name in enumerate(classes)}
        sets = [sorted({place[name] for name in own}) for own in names]
        flat = np.array([label for own in sets for label in own], dtype=np.int64)
        return cls(tuple(classes), np.cumsum([0, *map(len, sets)]), flat)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def of(self, row: int) -> tuple[str, ...]:
        own = self.labels[self.starts[row] : self.starts[row + 1]].tolist()
        return tuple(self.classes[label] for label in own)

    def rows(self, start: int, stop: int) -> LabelSets:
        """The labels of these rows."""
        first, last = self.starts[start], self.starts[stop]
        faults = {row - start: own for row, own in self.faults.items() if start <= row < stop}
        return replace(
            self,
            starts=self.starts[start : stop + 1] - first,
            labels=self.labels[first:last],
            faults=faults,
        )

    def targets(self) -> Targets:
        """The labels as `divided_table` takes them: rows are stratified by their rarest label."""
        column = self.columns[0] if len(self.columns) == 1 else None
        return Targets(None, self.rarest(), self.classes, self.notes, self.warnings, column)

    def rarest(self) -> Indices:
        """The index of the rarest label of each row (n,); the number of labels where it has none.

        Random splits that have each in proportion have every label so, the rare ones first.
        """
        counts = np.bincount(self.labels, minlength=len(self.classes))
        found = np.full(len(self), len(self.classes), dtype=np.int64)
        for row in np.flatnonzero(np.diff(self.starts)).tolist():
            own = self.labels[self.starts[row] : self.starts[row + 1]]
            found[row] = own[np.argmin(counts[own])]
        return found


class LabelledRows(Split):
    """Rows of a table with their labels as targets, each a tuple of names in the order of the
    classes; empty for a row without labels."""

    def __init__(self, rows: Split, sets: LabelSets) -> None:
        """Args:
        rows: without targets.
        """
        self.rows, self.sets = rows, sets

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        return replace(self.rows[index], target=self.target(index))

    def target(self, index: int) -> tuple[str, ...]:
        fault = self.sets.faults.get(index)
        if fault is not None:
            raise SampleError(self.sample_id(index), fault, kind="no-label")
        return self.sets.of(index)

    def input(self, index: int, modality: str) -> Any:
        return self.rows.input(index, modality)

    def sample_id(self, index: int) -> str:
        return self.rows.sample_id(index)

    def origin(self, index: int) -> Origin | None:
        own = self.rows.origin(index)
        return own and replace(own, values=(own.values, self.sets.of(index)))

    def check(self, index: int) -> None:
        self.target(index)
        self.rows.check(index)

    def sizes(self) -> Sequence[float] | None:
        return self.rows.sizes()


def labelled_table(
    table: Table,
    rows: Split,
    options: LabelTableOptions,
    context: DatasetContext,
    *,
    given: str | None,
    option: str,
    inputs: str,
    notes: Sequence[str],
) -> Dataset:
    """Divide the rows of a table that have any number of labels each.

    Args:
        rows: the inputs, without targets.
        given: the column of labels that the user named by `option`; None to find it.
        inputs: the column of the inputs.
        notes: on where the inputs are from.

    Raises:
        DataError: there are no labels, fewer than two to learn from, or a row names a split that
            there is not.
    """
    sets = find_label_sets(table, options, context, given=given, option=option, inputs=[inputs])
    return divided_by_labels(table, rows, sets, options, context, notes=notes)


def find_label_sets(
    table: Table,
    options: LabelTableOptions,
    context: DatasetContext,
    *,
    given: str | None,
    option: str,
    inputs: Sequence[str],
) -> LabelSets:
    """The labels of each row of a table; see `label_sets`.

    Args:
        given: the column of labels that the user named by `option`; None to find it.
        inputs: columns of inputs, which hold no labels.

    Raises:
        DataError: a column is missing, none is clearly of labels, or there are fewer than two
            labels to learn from.
    """
    others = [*inputs, _split_column(table, options, context), options.group_column]
    sets = label_sets(table, options, given, option, [name for name in others if name])
    if context.training and len(sets.classes) < 2:
        raise DataError(
            f"{_where(sets.columns)} of {table.path} has "
            + (f"one label only, '{sets.classes[0]}'." if sets.classes else "no labels."),
            hint="At least two labels are needed.",
        )
    return sets


def divided_by_labels(
    table: Table,
    rows: Split,
    sets: LabelSets,
    options: LabelTableOptions,
    context: DatasetContext,
    *,
    notes: Sequence[str],
    columns: Mapping[str, str] | None = None,
) -> Dataset:
    """Divide the rows of a table that have these labels.

    Args:
        rows: the inputs, without targets.
        options: as they are kept with the run, but for what is said of labels.
        notes: on where the inputs are from.
        columns: of the inputs, by modality.

    Raises:
        DataError: a row names a split that there is not.
    """
    told = list(sets.notes)
    if _split_column(table, options, context) is None:
        told.append("random splits have the rarest label of each row in proportion")
    else:  # Labels that train lacks are told of below.
        context = replace(context, unseen_classes=True)
    dataset = divided_table(
        table,
        LabelledRows(rows, sets),
        replace(sets.targets(), notes=tuple(told)),
        options,
        context,
        notes=notes,
        columns=columns,
        found=replace(
            options,
            label_columns=sets.columns if sets.bits else None,
            label_separator=sets.separator,
        ),
    )
    return with_unseen_labels(dataset, context)


def _split_column(table: Table, options: LabelTableOptions, context: DatasetContext) -> str | None:
    return table.find_column(
        options.split_column, "split_column", SPLIT_COLUMNS, needed=not context.only_inputs
    )


def label_sets(
    table: Table, options: LabelTableOptions, given: str | None, option: str, others: Sequence[str]
) -> LabelSets:
    """The labels of each row, in whichever of the forms the table has them.

    Args:
        given: the column that the user named by `option`; None to find it.
        others: columns that hold no labels.

    Raises:
        DataError: a column is missing, or none is clearly of labels.
    """
    named = options.label_columns
    if named:
        bits = [table.find_column(name, "label_columns", ()) or name for name in named]
        return _sets(list(_of_bits(table, bits)), bits, "columns of 0 and 1", bits=True)
    column = table.find_column(given, option, NAMES)
    column = None if column in others else column
    bits = [] if given else list(_bit_columns(table, others))
    if bits and (column is None or (column in bits and len(bits) > 1)):
        return _sets(list(_of_bits(table, bits)), bits, "columns of 0 and 1", bits=True)
    if column is None:
        raise table.missing_column("labels", option)
    cells = table.arrow(column)
    if not _holds_lists(cells.type):
        cells = single_values(table, column)
    return sets_of_cells(cells, column, options.label_separator)


def sets_of_cells(
    cells: pa.ChunkedArray, column: str, separator: str | None = None, names: Sequence[str] = ()
) -> LabelSets:
    """The labels of each row, from the cells of one column: lists or separated texts.

    Args:
        separator: of the labels in a text; None to detect it.
        names: the names of all labels, if the cells are lists of indices into these.
    """
    if _holds_lists(cells.type):
        raw = [_of_list(cell) for cell in cells.to_pylist()]
        if names:
            raw = [_named(own, names) for own in raw]
        return _sets(raw, [column], "lists", names=names)
    texts = names_of(cells).texts()
    listed = [is_list(text) for text in texts]
    plain = [text for text, whole in zip(texts, listed, strict=True) if not whole]
    separator = _separator(plain) if separator is None else separator
    raw = [
        _of_list(_parsed(text)) if whole else _of_text(text, separator)
        for text, whole in zip(texts, listed, strict=True)
    ]
    if any(listed) and not any(plain):
        return _sets(raw, [column], "lists")
    if separator is None:
        return _sets(raw, [column], "one label per cell, since no cell has ; | or , in it")
    found = _sets(raw, [column], f"labels separated by '{separator}'")
    return replace(found, separator=separator)


def _holds_lists(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def _named(own: Raw, names: Sequence[str]) -> Raw:
    """Labels by name that a row has by index."""
    if isinstance(own, str):
        return own
    wrong = next((k for k in own if not isinstance(k, int) or not 0 <= k < len(names)), None)
    if wrong is not None:
        return f"its label {wrong} is not one of 0 to {len(names) - 1}, which have names"
    return [names[k] for k in own]


def _of_list(cell: Any) -> Raw:
    if cell is None:
        return []
    if not isinstance(cell, list | tuple | set):
        return f"its labels are {cell!r}, not a list of names"
    if any(isinstance(item, list | tuple | dict | set | bytes) for item in cell):
        return f"its labels are {cell!r}, of which one is not a name"
    return list(cell)


def _of_text(text: str, separator: str | None) -> Raw:
    if not text:
        return []
    return [text] if separator is None else [part.strip() for part in text.split(separator)]


def _parsed(text: str) -> Any:
    """What a cell holds that is the text of a list, as JSON or Python write it."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of escape sequences that Python does not know.
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def _separator(texts: Sequence[str]) -> str | None:
    """The separator of the labels in cells; None if there is none."""
    counts = {mark: sum(mark in text for text in texts) for mark in _SEPARATORS}
    best = max(counts, key=lambda mark: counts[mark])
    if counts[best]:
        return best
    return "," if any("," in text for text in texts) else None


def _bit_columns(table: Table, others: Sequence[str]) -> Iterator[str]:
    """The columns that hold 0 and 1, but for single cells."""
    for name in table.columns:
        form = table.arrow(name).type
        if name in others or pa.types.is_nested(form) or pa.types.is_temporal(form):
            continue
        if pa.types.is_binary(form) or pa.types.is_large_binary(form):
            continue
        found = names_of(table.arrow(name))
        bits = np.array([identity(value) in _BITS for value in found.values] + [False])
        if bits[found.codes].mean() >= _MOST_BITS:
            yield name


def _of_bits(table: Table, columns: Sequence[str]) -> Iterator[Raw]:
    """The labels of each row by columns of 0 and 1."""
    cells = [names_of(single_values(table, column)).texts() for column in columns]
    for row in zip(*cells, strict=True):
        values = [
            (column, text, _BITS.get(identity(text)))
            for column, text in zip(columns, row, strict=True)
        ]
        wrong = next(((c, text) for c, text, bit in values if bit is None), None)
        if wrong is not None:
            what = repr(wrong[1]) if wrong[1] else "empty"
            yield f"its cell in column '{wrong[0]}' is {what}, neither 0 nor 1"
        else:
            yield [column for column, _, bit in values if bit]


def _sets(
    raw: Sequence[Raw],
    columns: Sequence[str],
    form: str,
    *,
    bits: bool = False,
    names: Sequence[str] = (),
) -> LabelSets:
    """Labels as indices, with what is wrong or doubtful about them.

    Args:
        bits: whether the columns are the labels.
        names: all labels in their order, if it is known.
    """
    names = tuple(columns) if bits else tuple(names)
    faults = {row: own for row, own in enumerate(raw) if isinstance(own, str)}
    texts = [[] if isinstance(own, str) else [text_of(item) for item in own] for own in raw]
    for row, own in enumerate(texts):
        if "" in own:
            faults[row], texts[row] = "one of its labels has an empty name", []
    flat = [text for own in texts for text in own]
    if names:  # All of them are labels, also those that no row has.
        classes = names
        told: Sequence[str] = ()
    else:
        found = names_of(pa.chunked_array([pa.array(flat, pa.string())]))
        classes, told = tuple(sorted(found.values, key=natural)), found.notes
        written = iter(found.texts())
        texts = [[next(written) for _ in own] for own in texts]
    sets = LabelSets.of_names(texts, classes)
    where, empty = _where(columns), sum(not own for own in texts) - len(faults)
    twice = sum(len(own) > len(set(own)) for own in texts)
    notes = [f"{len(classes):,} labels from {where}: {form}"]
    notes += (f"labels of {where}: {note}" for note in told)
    if empty:
        notes.append(f"{empty:,} of {len(raw):,} rows have no label, which is learned as such")
    if twice:
        notes.append(f"{twice:,} rows name a label twice, which counts once")
    sizes = np.bincount(sets.labels, minlength=len(classes)).tolist()
    return replace(
        sets,
        faults=faults,
        notes=tuple(notes),
        warnings=tuple(class_doubts(dict(zip(classes, sizes, strict=True)), where)),
        columns=tuple(columns),
        bits=bits,
    )


def _where(columns: Sequence[str]) -> str:
    if len(columns) == 1:
        return f"column '{columns[0]}'"
    return f"columns {some_of([repr(name) for name in columns]).rstrip('.')}"


def with_unseen_labels(dataset: Dataset, context: DatasetContext) -> Dataset:
    """A data set with warnings of the labels that cannot be learned from it."""
    unseen = tuple(_unseen(dataset)) if context.training else ()
    return replace(dataset, info=replace(dataset.info, warnings=(*dataset.info.warnings, *unseen)))


def _unseen(dataset: Dataset) -> Iterator[str]:
    """Warnings of labels that samples of val or test have and none of train."""
    seen: dict[str, Counter[str]] = {}
    first: dict[str, str] = {}
    for name, split in dataset.splits.items():
        counts = seen.setdefault(name, Counter())
        for index in range(len(split)):
            try:
                own = split.target(index)
            except SampleError:  # The check of the samples reports it.
                continue
            counts.update(own)
            for label in own:
                first.setdefault(f"{name}/{label}", split.sample_id(index))
    for label in dataset.info.classes:
        if "train" in seen and not seen["train"][label]:
            held = [name for name, counts in seen.items() if counts[label]]
            if held:
                yield (
                    f"Label '{label}' is not in train, so it cannot be learned, but in "
                    f"{' and '.join(held)}, such as {first[f'{held[0]}/{label}']}."
                )
