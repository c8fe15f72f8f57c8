"""A table with a column of audio files, and one of transcripts or of classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmft_audio.audio_rows import AudioRows, Seconds, Spans
from mmft_audio.dataset_options import AudioTableOptions
from mmft_audio.recordings import RECORDINGS
from mmft_core.contracts import Dataset, DatasetContext
from mmft_core.errors import DataError
from mmft_tables.class_targets import Targets
from mmft_tables.divided_table import divided_table
from mmft_tables.file_columns import find_files
from mmft_tables.table_columns import find_targets, texts_of
from mmft_tables.tables import Table, open_table

_AUDIO_NAMES = (
    "audio", "audio_path", "audio_file", "recording", "path", "filepath", "file", "file_name",
    "filename", "wav",
)  # fmt: skip
TEXT_NAMES = ("transcript", "transcription", "text", "sentence", "normalized_text", "utterance")
_STARTS, _ENDS = ("start", "begin", "start_time", "offset"), ("end", "stop", "end_time")


def build(options: AudioTableOptions, context: DatasetContext) -> Dataset:
    """Read the table. Paths are relative to it.

    Raises:
        DataError: the table or a column is missing, or there are too few classes.
    """
    table = open_table(options, "audio-table")
    rows, found, columns = table_rows(table, options, context, table.folder)
    notes = [f"recordings from column '{columns['audio']}'"]
    return divided_table(table, rows, found, options, context, notes=notes, columns=columns)


def table_rows(
    table: Table, options: AudioTableOptions, context: DatasetContext, root: Path
) -> tuple[AudioRows, Targets, dict[str, str]]:
    """The rows of a table, their targets, and the columns of what `AudioInspector.cells` names.

    Args:
        root: that paths are relative to.

    Raises:
        DataError: a column is missing, or there are too few classes.
    """
    audio, files = find_files(
        table, options.audio_column, "audio_column", _AUDIO_NAMES, RECORDINGS, folder=root
    )
    found = find_targets(
        table,
        options.target_column,
        audio,
        context,
        noun="transcript",
        names=TEXT_NAMES,
        read=lambda table, column: pa.chunked_array([texts_of(table, column)], pa.string()),
    )
    starts = table.find_column(options.start_column, "start_column", _STARTS)
    ends = table.find_column(options.end_column, "end_column", _ENDS)
    spans = None
    if starts is not None or ends is not None:
        spans = Spans(_seconds(table, starts), _seconds(table, ends))
    rows = AudioRows(files, found.values, found.classes, table.row_id, spans)
    columns = {"audio": audio, "start": starts, "end": ends}
    return rows, found, {key: column for key, column in columns.items() if column is not None}


def _seconds(table: Table, column: str | None) -> Seconds:
    """A column of seconds (n,), NaN where there are none.

    Raises:
        DataError: a cell is not a number of seconds; names its row.
    """
    found = np.full(len(table), np.nan)
    cells: list[Any] = [] if column is None else texts_of(table, column)
    for row, cell in enumerate(cells):
        try:
            found[row] = float(cell) if cell else np.nan
        except ValueError:
            raise DataError(
                f"{table.row_id(row)}: {cell!r} in column '{column}' is not a number of seconds.",
                hint="Correct the cell, or name another column.",
            ) from None
    return found
