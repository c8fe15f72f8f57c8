"""A table with a column of images, as paths or as content, and a column of labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mmft_classification.label_sets import labelled_table
from mmft_core.contracts import Dataset, DatasetContext, Origin, Sample
from mmft_core.data import Indices
from mmft_tables.class_targets import LABEL_NAMES, Targets, class_targets
from mmft_tables.divided_table import divided_table
from mmft_tables.file_columns import find_files
from mmft_tables.row_files import File, RowFiles
from mmft_tables.row_ids import naming
from mmft_tables.table_columns import only_other
from mmft_tables.tables import Table, open_table
from mmft_tables.target_rows import TargetRows
from mmft_vision.image_folder import PICTURES
from mmft_vision.images import check_image, open_image
from mmft_vision.options import ImageTableOptions

_IMAGE_NAMES = ("image", "image_path", "path", "filepath", "file", "file_name", "filename")


class ImageRows(TargetRows):
    """The pictures of a table's rows.

    A row without a picture or label is kept, so that the check can report it by its number.

    Args:
        row_id: what messages call a row, by its index; see `Table.row_id`.
        targets: (n,) indices into `classes`, or None.
    """

    def __init__(
        self,
        row_id: Callable[[int], str],
        files: RowFiles,
        targets: Indices | None,
        classes: tuple[str, ...],
    ) -> None:
        self.row_id, self.files, self.targets, self.classes = row_id, files, targets, classes

    def __len__(self) -> int:
        return len(self.files)

    def sample_id(self, index: int) -> str:
        return naming(self.row_id(index), self.files.name(index))

    def __getitem__(self, index: int) -> Sample:
        sample_id = self.sample_id(index)
        image = open_image(self._file(index), sample_id)
        return Sample({"image": image}, self.target(index), sample_id)

    def origin(self, index: int) -> Origin:
        own = self.files.origin(index)
        return Origin((own.values, self.cell(index)), own.files, own.inputs)

    def check(self, index: int) -> None:
        self.target(index)
        check_image(self._file(index), self.sample_id(index))

    def _file(self, index: int) -> File:
        return self.files.needed(index, self.sample_id(index))


def build(options: ImageTableOptions, context: DatasetContext) -> Dataset:
    """Read the table. Paths are relative to it.

    Raises:
        DataError: the table or a column is missing, or there are too few classes.
    """
    table = open_table(options, "image-table")
    if context.target == "labels":
        column, files = find_files(
            table, options.image_column, "image_column", _IMAGE_NAMES, PICTURES
        )
        return labelled_table(
            table,
            ImageRows(table.row_id, files, None, ()),
            options,
            context,
            given=options.label_column,
            option="label_column",
            inputs=column,
            notes=[f"pictures from column '{column}'"],
        )
    label_column = table.find_column(
        options.label_column, "label_column", LABEL_NAMES, needed=not context.only_inputs
    )
    image_column, files = find_files(
        table, options.image_column, "image_column", _IMAGE_NAMES, PICTURES, but=label_column
    )
    targets = _classes(table, label_column or only_other(table, image_column), context)
    rows = ImageRows(table.row_id, files, targets.values, targets.classes)
    notes = [f"pictures from column '{image_column}'"]
    return divided_table(table, rows, targets, options, context, notes=notes)


def describe(options: ImageTableOptions, context: DatasetContext) -> list[str]:
    """Say how the table was understood.

    Raises:
        DataError: as `build`.
    """
    info = build(options, context).info
    return [*info.notes, *(f"! {warning}" for warning in info.warnings)]


def _classes(table: Table, column: str | None, context: DatasetContext) -> Targets:
    """The class of each row; none if only inputs are wanted."""
    if context.target == "none":
        none = np.zeros(len(table), dtype=np.int64)
        return Targets(None, none)
    if column is None:
        raise table.missing_column("label", "label_column")
    return class_targets(table, column, context, noun="classes")
