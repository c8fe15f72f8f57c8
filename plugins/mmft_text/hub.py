"""Data sets of the Hugging Face Hub, or of a folder that `datasets` saved, as texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmft_classification.label_sets import NAMES as LABEL_SET_NAMES
from mmft_classification.label_sets import LabelledRows, sets_of_cells, with_unseen_labels
from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo, Split
from mmft_core.data import SPLIT_NAMES, Grouped, Indices
from mmft_core.errors import DataError, WeightsError, did_you_mean, first_line
from mmft_core.utils import user_path
from mmft_core.weights import ensure_reachable
from mmft_datasets.names import composed, names_of
from mmft_datasets.set_aside import set_aside
from mmft_tables.class_targets import LABEL_NAMES, NO_LABEL, Targets, classes_of
from mmft_tables.parquet import quietly
from mmft_tables.tables import RowIds
from mmft_text.options import HubTextOptions
from mmft_text.rows import TextRows
from mmft_text.text_table import TARGET_NAMES, TEXT_NAMES


def build(options: HubTextOptions, context: DatasetContext) -> Dataset:
    """Load the data set, memory-mapped.

    Its own splits are used; those that it lacks are set aside from its training split.

    Raises:
        DataError: it cannot be had, or lacks a column.
    """
    if not options.id:
        raise DataError(
            "The dataset hub-text needs an id.", hint="Give --set dataset.id=stanfordnlp/imdb."
        )
    loaded = _load(options)
    # To be used alone, splits of other names serve as well.
    named = {
        SPLIT_NAMES.get(name.lower(), name): part
        for name, part in loaded.items()
        if name.lower() in SPLIT_NAMES or not context.training
    }
    if "train" not in named and context.training:
        raise DataError(
            f"'{options.id}' has no training split, only {', '.join(loaded)}.",
            hint="Choose another configuration with dataset.config.",
        )
    first = named["train"] if "train" in named else next(iter(named.values()))
    text = _column(first, options.text_column, "text_column", TEXT_NAMES, options.id)
    target = None
    if context.target != "none":
        names = {"class": LABEL_NAMES, "labels": LABEL_SET_NAMES}.get(context.target, TARGET_NAMES)
        target = _column(first, options.target_column, "target_column", names, options.id)
    _check_columns(named, [text] if target is None else [text, target], options.id)
    if target is not None and context.target == "labels":
        return _labelled(options, context, loaded, named, text, target)
    found: Targets | None = None
    if target is not None and context.target == "class":
        found = _classes(named, target)
        if context.training and len(found.classes) < 2:
            raise DataError(
                f"Column '{target}' of '{options.id}' has fewer than two classes.",
                hint="Choose another with dataset.target_column; a label is one class, not a list.",
            )
    rows = {
        name: _rows(f"{options.id} {name}", part, text, target, targets)
        for (name, part), targets in zip(named.items(), _divided(found, named), strict=True)
    }
    strata = rows["train"].targets if found is not None and "train" in rows else None
    return _dataset(options, context, loaded, rows, text, strata, found)


def _labelled(
    options: HubTextOptions,
    context: DatasetContext,
    loaded: Mapping[str, Any],
    parts: Mapping[str, Any],
    text: str,
    target: str,
) -> Dataset:
    """The data set with any number of labels for each text.

    Raises:
        DataError: there are fewer than two labels to learn.
    """
    feature = getattr(next(iter(parts.values())).features[target], "feature", None)
    names = tuple(map(composed, getattr(feature, "names", None) or ()))
    sets = sets_of_cells(_cells(parts, target), target, names=names)
    if context.training and len(sets.classes) < 2:
        raise DataError(
            f"Column '{target}' of '{options.id}' has fewer than two labels.",
            hint="Choose another with dataset.target_column.",
        )
    rows, start = {}, 0
    for name, part in parts.items():
        texts = TextRows(RowIds(f"{options.id} {name}"), _strings(part, text))
        rows[name] = LabelledRows(texts, sets.rows(start, start + len(part)))
        start += len(part)
    strata = rows["train"].sets.rarest() if "train" in rows else None
    dataset = _dataset(options, context, loaded, rows, text, strata, sets.targets())
    return with_unseen_labels(dataset, context)


def _dataset(
    options: HubTextOptions,
    context: DatasetContext,
    loaded: Mapping[str, Any],
    rows: Mapping[str, Split],
    text: str,
    strata: Indices | None,
    targets: Targets | None,
) -> Dataset:
    """Set aside the splits that are missing, and describe the data set.

    Args:
        loaded: all of its own splits.
        rows: those that are used.
        strata: a class for each training sample, which random splits have in proportion.
        targets: the classes, or the labels; None where there are none.
    """
    parts = {SPLIT_NAMES.get(name.lower(), name): part for name, part in loaded.items()}
    splits, notes = _complete(_grouped(rows, parts, options), strata, options, context)
    passed_over = [name for name in loaded if SPLIT_NAMES.get(name.lower(), name) not in rows]
    if passed_over:
        notes = [*notes, f"not used: {', '.join(passed_over)}"]
    local = Path(options.id).exists()
    licence = getattr(next(iter(loaded.values())).info, "license", "")
    return Dataset(
        info=DatasetInfo(
            name=options.id,
            source=options.id if local else f"Hugging Face Hub, {options.id}",
            hub_id="" if local else options.id,
            licence=str(licence or "unknown"),
            classes=() if targets is None else targets.classes,
            notes=(*(targets.notes if targets else ()), f"texts from column '{text}'", *notes),
            warnings=() if targets is None else targets.warnings,
        ),
        splits=splits,
    )


def _load(options: HubTextOptions) -> Mapping[str, Any]:
    """The splits by name: from a folder, from the cache, or from the Hub."""
    import datasets
    from huggingface_hub import constants

    folder = user_path(options.id)
    try:
        with quietly():
            if folder.is_dir():
                found = datasets.load_from_disk(str(folder))
                return found if isinstance(found, Mapping) else {"train": found}
            if not constants.is_offline_mode():
                ensure_reachable(constants.ENDPOINT)
            return datasets.load_dataset(options.id, options.config)  # type: ignore[no-any-return]
    except WeightsError as error:
        raise DataError(
            f"The data set '{options.id}' cannot be loaded: {error.message}",
            hint="Give a table or a folder of your own with --dataset PATH, or set "
            "HF_HUB_OFFLINE=1 to use what was downloaded before.",
        ) from None
    except Exception as error:  # datasets has errors of many libraries.
        raise DataError(
            f"The data set '{options.id}' cannot be loaded: {first_line(error)}.",
            hint="Check dataset.id and dataset.config.",
        ) from None


def _column(part: Any, given: str | None, option: str, usual: tuple[str, ...], name: str) -> str:
    columns = part.column_names
    if given is not None and given not in columns:
        raise DataError(
            f"'{name}' has no column '{given}'.{did_you_mean(given, columns)}",
            hint=f"Its columns are: {', '.join(columns)}. Set dataset.{option}.",
        )
    found = given or next((n for n in usual if n in columns), None)
    if found is None:
        raise DataError(
            f"'{name}' has no column that is clearly the {option.removesuffix('_column')}.",
            hint=f"Say which with --set dataset.{option}=NAME; its columns are: "
            f"{', '.join(columns)}.",
        )
    return found


def _check_columns(parts: Mapping[str, Any], columns: Sequence[str], name: str) -> None:
    for split, part in parts.items():
        for column in columns:
            if column not in part.column_names:
                raise DataError(
                    f"The split '{split}' of '{name}' has no column '{column}'.",
                    hint=f"Its columns are: {', '.join(part.column_names)}.",
                )


def _classes(parts: Mapping[str, Any], column: str) -> Targets:
    """The classes of all splits one after the other.

    Where the data set names its classes these come in its order, also those that no sample has.

    Raises:
        DataError: the labels are lists, or of other kinds in each split.
    """
    cells = _cells(parts, column, nested=False)
    names = getattr(next(iter(parts.values())).features[column], "names", None)
    if not names:
        return classes_of(cells, column, noun="targets", order=str)
    # The Hub marks what has no label, as in many test splits, with -1.
    labels = cells.fill_null(NO_LABEL).to_numpy().astype(np.int64)
    return Targets(labels, labels, tuple(map(composed, names)))


def _cells(parts: Mapping[str, Any], column: str, *, nested: bool = True) -> pa.ChunkedArray:
    """A column of all splits, one after the other.

    Raises:
        DataError: its values differ in type between splits, or are lists and may not be.
    """
    columns = [part.data.column(column) for part in parts.values()]
    kind = columns[0].type
    if any(other.type != kind for other in columns) or (pa.types.is_nested(kind) and not nested):
        raise DataError(
            f"Column '{column}' holds {' and '.join({str(c.type) for c in columns})} values.",
            hint="Expected labels of one type in all splits."
            if nested
            else "Expected one class in each row, and labels of one type in all splits.",
        )
    return pa.chunked_array([chunk for own in columns for chunk in own.chunks], kind)


def _divided(targets: Targets | None, parts: Mapping[str, Any]) -> Iterator[Targets | None]:
    """The targets of each split."""
    start = 0
    for part in parts.values():
        if targets is None:
            yield None
        else:
            labels = targets.labels[start : start + len(part)]
            yield replace(targets, values=labels, labels=labels)
        start += len(part)


def _rows(name: str, part: Any, text: str, target: str | None, targets: Targets | None) -> TextRows:
    row_id, texts = RowIds(name), _strings(part, text)
    if target is None:
        return TextRows(row_id, texts)
    if targets is None:
        return TextRows(row_id, texts, _strings(part, target))
    return TextRows(row_id, texts, targets.values, targets.classes)


def _strings(part: Any, column: str) -> pa.ChunkedArray:
    cells = part.data.column(column)
    if not (pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)):
        raise DataError(f"Column '{column}' holds {cells.type} values, not texts.")
    return cells


def _grouped(
    rows: Mapping[str, Split], parts: Mapping[str, Any], options: HubTextOptions
) -> dict[str, Split]:
    """The rows, in groups if a column says which."""
    if options.group_column is None:
        return dict(rows)
    parts = {name: parts[name] for name in rows}
    first = next(iter(parts.values()))
    column = _column(first, options.group_column, "group_column", (), options.id)
    _check_columns(parts, [column], options.id)
    cells = {name: parts[name].data.column(column) for name in rows}
    return {name: Grouped(split, names_of(cells[name]).texts()) for name, split in rows.items()}


def _complete(
    splits: dict[str, Split],
    strata: Indices | None,
    options: HubTextOptions,
    context: DatasetContext,
) -> tuple[dict[str, Split], list[str]]:
    """Set aside the splits that the data set lacks."""
    shares = {"val": options.val, "test": options.test}
    missing = {name: share for name, share in shares.items() if name not in splits and share}
    if "train" not in splits or not missing:
        return splits, []
    train = splits["train"]
    labels = np.zeros(len(train), dtype=np.int64) if strata is None else strata
    parts, notes = set_aside(train, labels, missing, context.seed)
    return splits | parts, notes
