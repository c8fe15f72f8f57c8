"""A table with a column of texts, and one of classes or of target texts."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from mmft_classification.label_sets import labelled_table
from mmft_core.contracts import Dataset, DatasetContext
from mmft_tables.divided_table import divided_table
from mmft_tables.table_columns import (
    find_targets,
    texts_of,
)
from mmft_tables.tables import Table, open_table
from mmft_text.options import TextTableOptions
from mmft_text.rows import TextRows

TEXT_NAMES = (
    "text", "sentence", "document", "article", "review", "body", "content", "source", "input",
    "question", "comment", "message", "description", "abstract",
)  # fmt: skip
TARGET_NAMES = (
    "summary", "highlights", "target", "title", "headline", "output", "answer", "query",
)  # fmt: skip


def build(options: TextTableOptions, context: DatasetContext) -> Dataset:
    """Read the table.

    Raises:
        DataError: the table or a column is missing, or there are too few classes.
    """
    table = open_table(options, "text-table")
    text_column = table.find_column(options.text_column, "text_column", TEXT_NAMES)
    if text_column is None:
        text_column = _only_long_texts(table)
    if text_column is None:
        raise table.missing_column("text", "text_column")
    texts = strings(table, text_column)
    notes = [f"texts from column '{text_column}'"]
    if context.target == "labels":
        return labelled_table(
            table,
            TextRows(table.row_id, texts),
            options,
            context,
            given=options.target_column,
            option="target_column",
            inputs=text_column,
            notes=notes,
        )
    found = find_targets(
        table,
        options.target_column,
        text_column,
        context,
        noun="target text",
        names=TARGET_NAMES,
        read=strings,
    )
    rows = TextRows(table.row_id, texts, found.values, found.classes)
    return divided_table(table, rows, found, options, context, notes=notes)


def describe(options: TextTableOptions, context: DatasetContext) -> list[str]:
    """Say how the table was understood.

    Raises:
        DataError: as `build`.
    """
    info = build(options, context).info
    return [*info.notes, *(f"! {warning}" for warning in info.warnings)]


def strings(table: Table, column: str) -> pa.ChunkedArray:
    """A column as strings, memory-mapped where it holds strings already.

    Raises:
        DataError: it holds lists, records or bytes.
    """
    cells: Any = table.arrow(column)
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        return cells
    return pa.chunked_array([texts_of(table, column)], pa.string())


def _only_long_texts(table: Table) -> str | None:
    """The one column whose cells are texts of several words."""
    rows = range(min(20, len(table)))
    likely = []
    for column in table.columns:
        cells = [table.cell(i, column) for i in rows]
        texts = [cell for cell in cells if isinstance(cell, str)]
        if texts and sum(len(text.split()) for text in texts) >= 5 * len(texts):
            likely.append(column)
    return likely[0] if len(likely) == 1 else None
