"""A table with a column of image paths and one of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo, Split
from mmft_core.errors import DataError, SampleError
from mmft_core.splits import Subset, divide
from mmft_core.tables import Table
from mmft_vision.images import SUFFIXES, ImageFiles
from mmft_vision.options import ImageTableOptions

_IMAGE_NAMES = ("image", "image_path", "path", "filepath", "file", "file_name", "filename")
_LABEL_NAMES = ("label", "class", "target", "category")
_SPLIT_NAMES = ("split",)
_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}

_NO_LABEL = -1


class ImageTable(ImageFiles):
    """The pictures that a table's rows name.

    A row without path or label stays in, so that the check can report it by its number.
    """

    def __init__(
        self,
        table_name: str,
        root: Path,
        names: pa.Array,
        labels: np.ndarray[Any, np.dtype[np.int64]],
        classes: tuple[str, ...],
    ) -> None:
        super().__init__(root, names, labels, classes)
        self.table_name = table_name

    def sample_id(self, index: int) -> str:
        name = self.names[index].as_py()
        return f"{self.table_name}, row {index + 1}" + (f" ({name})" if name else "")

    def target(self, index: int) -> str:
        if self.labels[index] == _NO_LABEL:
            raise SampleError(self.sample_id(index), "it has no label")
        return super().target(index)

    def check(self, index: int) -> None:
        if not self.names[index].as_py():
            raise SampleError(self.sample_id(index), "it names no file")
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
    image_column = _image_column(table, options)
    label_column = table.find_column(options.label_column, "label_column", _LABEL_NAMES)
    if label_column is None:
        raise table.missing_column("label", "label_column")
    split_column = table.find_column(options.split_column, "split_column", _SPLIT_NAMES)
    raw_labels = [_text(cell) for cell in table.column(label_column)]
    classes = tuple(sorted({label for label in raw_labels if label}, key=_natural))
    if context.training and len(classes) < 2:
        raise DataError(
            f"Column '{label_column}' of {table.path} has "
            + (f"one class only, '{classes[0]}'." if classes else "no labels."),
            hint="At least two classes are needed.",
        )
    index = {name: i for i, name in enumerate(classes)}
    labels = np.array([index.get(label, _NO_LABEL) for label in raw_labels], dtype=np.int64)
    names = pa.array([_text(cell) for cell in table.column(image_column)], pa.large_string())
    files = ImageTable(table.path.name, table.path.parent, names, labels, classes)
    notes = [f"pictures from column '{image_column}', classes from column '{label_column}'"]
    if split_column is None:
        shares = {"val": options.val, "test": options.test}
        splits = divide(files, labels, shares, context.seed)
        notes.append("val and test were set aside at random, by class")
    else:
        splits = _given_splits(table, split_column, files, options, context)
        notes.append(f"splits from column '{split_column}'")
    return Dataset(
        info=DatasetInfo(
            name=str(table.path), classes=classes, source=str(table.path), notes=tuple(notes)
        ),
        splits=splits,
    )


def _image_column(table: Table, options: ImageTableOptions) -> str:
    """The given column, one with a usual name, or the only one that holds image paths."""
    column = table.find_column(options.image_column, "image_column", _IMAGE_NAMES)
    if column is not None:
        return column
    rows = range(min(20, len(table)))
    likely = [c for c in table.columns if all(_is_image(_text(table.cell(i, c))) for i in rows)]
    if len(likely) != 1:
        raise table.missing_column("path of the image", "image_column")
    return likely[0]


def _given_splits(
    table: Table,
    column: str,
    files: ImageTable,
    options: ImageTableOptions,
    context: DatasetContext,
) -> dict[str, Split]:
    """Split as a column says; a missing val is set aside from train.

    Raises:
        DataError: a row names another split, or a class is missing from train.
    """
    cells = [_text(cell).lower() for cell in table.column(column)]
    for row, cell in enumerate(cells):
        if cell not in _SPLITS:
            raise DataError(
                f"{table.row_id(row)}: '{cell}' in column '{column}' is not a split.",
                hint="Expected train, val or test.",
            )
    of_row = np.array([_SPLITS[cell] for cell in cells])
    chosen = {name: np.flatnonzero(of_row == name) for name in ("train", "val", "test")}
    if context.training:
        _check_train(table, files, chosen)
    splits: dict[str, Split] = {n: Subset(files, rows) for n, rows in chosen.items() if len(rows)}
    if "val" not in splits and "train" in splits and options.val:
        labels = files.labels[chosen["train"]]
        splits |= divide(splits["train"], labels, {"val": options.val}, context.seed)
    return splits


def _check_train(table: Table, files: ImageTable, chosen: dict[str, Any]) -> None:
    known = set(files.labels[chosen["train"]])
    if not known:
        raise DataError(f"No row of {table.path} belongs to the train split.")
    for rows in chosen.values():
        for row in rows:
            if files.labels[row] not in known and files.labels[row] != _NO_LABEL:
                raise DataError(
                    f"{table.row_id(int(row))}: class '{files.target(int(row))}' has no sample in "
                    "the train split.",
                    hint="Put samples of it into train, or remove it.",
                )


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell).strip()


def _is_image(cell: str) -> bool:
    return cell.lower().endswith(SUFFIXES)


def _natural(name: str) -> tuple[int, int, str]:
    """Sort whole numbers by value, before other names."""
    return (0, int(name), name) if name.lstrip("-").isdecimal() else (1, 0, name)
