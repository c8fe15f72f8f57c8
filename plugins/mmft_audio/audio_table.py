"""A table with a column of audio files, and one of transcripts or of classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmft_audio.audio_rows import AudioRows, Seconds, Spans
from mmft_audio.dataset_options import AudioTableOptions
from mmft_audio.recordings import SUFFIXES
from mmft_core.contracts import Dataset, DatasetContext
from mmft_core.data.class_targets import Targets
from mmft_core.data.divided_table import divided_table
from mmft_core.data.labelled_files import pack
from mmft_core.data.table_columns import (
    find_paths,
    find_targets,
    texts_of,
)
from mmft_core.data.tables import Table, open_table
from mmft_core.errors import DataError

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
    rows, found, note = table_rows(table, options, context, table.path.parent)
    return divided_table(table, rows, found, options, context, notes=[note])


def table_rows(
    table: Table, options: AudioTableOptions, context: DatasetContext, root: Path
) -> tuple[AudioRows, Targets, str]:
    """The rows of a table, their targets, and a note on where the recordings are from.

    Args:
        root: that paths are relative to.

    Raises:
        DataError: a column is missing, or there are too few classes.
    """
    audio = find_paths(
        table, options.audio_column, "audio_column", _AUDIO_NAMES, SUFFIXES, noun="recording"
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
    rows = AudioRows(
        root,
        pack(texts_of(table, audio)),
        found.values,
        found.classes,
        table.row_id,
        _spans(table, options),
    )
    return rows, found, f"recordings from column '{audio}'"


def _spans(table: Table, options: AudioTableOptions) -> Spans | None:
    """Which parts of their files recordings are, if columns say so."""
    starts = table.find_column(options.start_column, "start_column", _STARTS)
    ends = table.find_column(options.end_column, "end_column", _ENDS)
    if starts is None and ends is None:
        return None
    return Spans(_seconds(table, starts), _seconds(table, ends))


def _seconds(table: Table, column: str | None) -> Seconds:
    """A column of seconds (n,), NaN where there are none.

    Raises:
        DataError: a cell is no number of seconds; names its row.
    """
    found = np.full(len(table), np.nan)
    cells: list[Any] = [] if column is None else texts_of(table, column)
    for row, cell in enumerate(cells):
        try:
            found[row] = float(cell) if cell else np.nan
        except ValueError:
            raise DataError(
                f"{table.row_id(row)}: {cell!r} in column '{column}' is no number of seconds.",
                hint="Mend the cell, or name another column.",
            ) from None
    return found
