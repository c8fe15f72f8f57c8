"""The options of data sets that are tables. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from mmft_datasets.split_options import TableSplitOptions


@dataclass(frozen=True, kw_only=True)
class TableOptions(TableSplitOptions):
    """Which table is read, and how its rows are divided."""

    path: Annotated[
        str, Meta(description="Path of the table: CSV, TSV, JSON Lines, JSON, Parquet or Excel.")
    ] = ""
    separator: Annotated[
        str | None,
        Meta(description="Separator of a CSV or TSV, such as ';' or tab; unset detects it."),
    ] = None
    sheet: Annotated[
        str | None, Meta(description="Sheet of an Excel workbook; unset uses the first.")
    ] = None
