"""A table with a column of image paths and one of labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo, Split
from mmft_core.errors import DataError, SampleError
from mmft_core.splits import Indices, Subset
from mmft_core.tables import Table
from mmft_vision.images import SUFFIXES, ImageFiles, pack, printable
from mmft_vision.options import ImageTableOptions
from mmft_vision.splits import SPLIT_NAMES, set_aside

_IMAGE_NAMES = ("image", "image_path", "path", "filepath", "file", "file_name", "filename")
_LABEL_NAMES = ("label", "class", "target", "category")
_SPLIT_NAMES = ("split",)

_LOOKED_AT = 20
"""So many rows decide whether a column holds paths of images."""

_NO_LABEL = -1


class ImageTable(ImageFiles):
    """The pictures that a table's rows name.

    A row without path or label stays in, so that the check can report it by its number.
    """

    def __init__(
        self,
        table: Table,
        names: pa.LargeBinaryArray,
        labels: Indices,
        classes: tuple[str, ...],
    ) -> None:
        super().__init__(table.path.parent, names, labels, classes)
        self.table_name = table.path.name

    def sample_id(self, index: int) -> str:
        # As Table.row_id has it; the table itself does not travel to worker processes.
        name = printable(self.name(index))
        return f"{self.table_name}, row {index + 1}" + (f" ({name})" if name else "")

    def target(self, index: int) -> str:
        if self.labels[index] == _NO_LABEL:
            raise SampleError(self.sample_id(index), "it has no label")
        return super().target(index)

    def path(self, index: int) -> Path:
        name = self.name(index)
        if not name:
            raise SampleError(self.sample_id(index), "it names no file")
        return self.root / name

    def check(self, index: int) -> None:
        self.target(index)
        super().check(index)


def build(options: ImageTableOptions, context: DatasetContext) -> Dataset:
    """Read the table. Paths are relative to it.

    Raises:
        DataError: the table or a column is missing, or there are too few classes.
    """
    if not options.path:
        raise DataError("The dataset image-table needs a table.", hint="Give --dataset PATH.")
    table = Table(Path(options.path).expanduser())
    label_column = table.find_column(options.label_column, "label_column", _LABEL_NAMES)
    image_column = _image_column(table, options, label_column)
    if label_column is None:
        raise table.missing_column("label", "label_column")
    split_column = table.find_column(options.split_column, "split_column", _SPLIT_NAMES)
    labels, classes = _labels(table, label_column, context)
    files = ImageTable(table, pack(_texts(table, image_column)), labels, classes)
    notes = [f"pictures from column '{image_column}', classes from column '{label_column}'"]
    if split_column is None:
        shares = {"val": options.val, "test": options.test}
        splits, more = set_aside(files, labels, shares, context.seed)
    else:
        splits, more = _given_splits(table, split_column, files, options, context)
    return Dataset(
        info=DatasetInfo(
            name=str(table.path), classes=classes, source=str(table.path), notes=(*notes, *more)
        ),
        splits=splits,
    )


def _image_column(table: Table, options: ImageTableOptions, label_column: str | None) -> str:
    """The given column, one with a usual name, or the only one that holds image paths."""
    column = table.find_column(options.image_column, "image_column", _IMAGE_NAMES)
    if column is not None:
        return column
    rows = range(min(_LOOKED_AT, len(table)))
    likely = []
    for column in table.columns:
        cells = [text for text in (_text(table.cell(i, column)) for i in rows) if text]
        if cells and column != label_column and all(c.lower().endswith(SUFFIXES) for c in cells):
            likely.append(column)
    if len(likely) != 1:
        raise table.missing_column("path of the image", "image_column")
    return likely[0]


def _labels(table: Table, column: str, context: DatasetContext) -> tuple[Indices, tuple[str, ...]]:
    """Class indices (n,), `_NO_LABEL` where there is none, and the classes."""
    texts = _texts(table, column)
    classes = tuple(sorted({text for text in texts if text}, key=_natural))
    if context.training and len(classes) < 2:
        raise DataError(
            f"Column '{column}' of {table.path} has "
            + (f"one class only, '{classes[0]}'." if classes else "no labels."),
            hint="At least two classes are needed.",
        )
    index = {name: i for i, name in enumerate(classes)}
    return np.array([index.get(text, _NO_LABEL) for text in texts], dtype=np.int64), classes


def _given_splits(
    table: Table,
    column: str,
    files: ImageTable,
    options: ImageTableOptions,
    context: DatasetContext,
) -> tuple[dict[str, Split], list[str]]:
    """Split as a column says; a missing val is set aside from train.

    Raises:
        DataError: a row names another split, or a class is missing from train.
    """
    texts = [text.lower() for text in _texts(table, column)]
    for row, text in enumerate(texts):
        if text not in SPLIT_NAMES:
            raise DataError(
                f"{table.row_id(row)}: '{text}' in column '{column}' is not a split.",
                hint="Expected train, val or test.",
            )
    of_row = np.array([SPLIT_NAMES[text] for text in texts])
    chosen = {name: np.flatnonzero(of_row == name) for name in ("train", "val", "test")}
    if context.training:
        _check_train(table, files, chosen)
    splits: dict[str, Split] = {n: Subset(files, rows) for n, rows in chosen.items() if len(rows)}
    notes = [f"splits from column '{column}'"]
    if "test" not in splits:
        notes.append("there is no test split")
    if "train" in splits and "val" not in splits and options.val:
        labels = files.labels[chosen["train"]]
        parts, more = set_aside(splits["train"], labels, {"val": options.val}, context.seed)
        return splits | parts, notes + more
    return splits, notes


def _check_train(table: Table, files: ImageTable, chosen: Mapping[str, Indices]) -> None:
    if not len(chosen["train"]):
        raise DataError(f"No row of {table.path} belongs to the train split.")
    known = np.append(files.labels[chosen["train"]], _NO_LABEL)
    for rows in chosen.values():
        strange = rows[~np.isin(files.labels[rows], known)]
        if len(strange):
            row = int(strange[0])
            raise DataError(
                f"{table.row_id(row)}: class '{files.target(row)}' has no sample in the train "
                "split.",
                hint="Put samples of it into train, or remove it.",
            )


def _texts(table: Table, column: str) -> list[str]:
    """All cells of a column as text.

    Raises:
        DataError: they are lists, records or bytes.
    """
    cells = table.column(column)
    nested = next((cell for cell in cells if isinstance(cell, list | dict | bytes)), None)
    if nested is not None:
        raise DataError(
            f"Column '{column}' of {table.path} holds {type(nested).__name__} values, "
            "not text or numbers.",
            hint="image-table reads paths of image files and one label for each.",
        )
    return [_text(cell) for cell in cells]


def _text(cell: Any) -> str:
    if cell is None or cell != cell:  # NaN
        return ""
    if isinstance(cell, float) and cell.is_integer():  # What pandas makes of 3 beside a gap.
        cell = int(cell)
    return str(cell).strip()


def _natural(name: str) -> tuple[int, int, str]:
    """Sort whole numbers by value, before other names."""
    return (0, int(name), name) if re.fullmatch(r"-?\d{1,18}", name) else (1, 0, name)
