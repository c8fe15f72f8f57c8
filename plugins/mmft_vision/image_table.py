"""A table with a column of image paths and one of labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from mmft_core.contracts import Dataset, DatasetContext
from mmft_core.data.class_targets import LABEL_NAMES, Targets, class_targets, label_fault
from mmft_core.data.divided_table import divided_table
from mmft_core.data.labelled_files import pack
from mmft_core.data.splits import Indices
from mmft_core.data.table_columns import (
    find_paths,
    only_other,
    texts_of,
)
from mmft_core.data.tables import Table, open_table
from mmft_core.errors import SampleError
from mmft_core.files import printable
from mmft_vision.formats import SUFFIXES
from mmft_vision.images import ImageFiles
from mmft_vision.options import ImageTableOptions

_IMAGE_NAMES = ("image", "image_path", "path", "filepath", "file", "file_name", "filename")


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
        self.row_id = table.row_id

    def sample_id(self, index: int) -> str:
        name = printable(self.name(index))
        return self.row_id(index) + (f" ({name})" if name else "")

    def target(self, index: int) -> str | None:
        if not self.classes:  # Inputs alone were asked for.
            return None
        fault = label_fault(int(self.labels[index]))
        if fault is not None:
            raise SampleError(self.sample_id(index), fault, kind="no-label")
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
    table = open_table(options, "image-table")
    label_column = table.find_column(
        options.label_column, "label_column", LABEL_NAMES, needed=not context.only_inputs
    )
    image_column = find_paths(
        table,
        options.image_column,
        "image_column",
        _IMAGE_NAMES,
        SUFFIXES,
        noun="image",
        but=label_column,
    )
    targets = _classes(table, label_column or only_other(table, image_column), context)
    names = pack(texts_of(table, image_column))
    files = ImageTable(table, names, targets.labels, targets.classes)
    notes = [f"pictures from column '{image_column}'"]
    return divided_table(table, files, targets, options, context, notes=notes)


def _classes(table: Table, column: str | None, context: DatasetContext) -> Targets:
    """The class of each row; none where inputs alone are asked for."""
    if context.target == "none":
        none = np.zeros(len(table), dtype=np.int64)
        return Targets(None, none)
    if column is None:
        raise table.missing_column("label", "label_column")
    return class_targets(table, column, context, noun="classes")
