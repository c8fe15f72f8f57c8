"""Recordings in columns of Arrow, with a class, a transcript or nothing as their target."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmft_audio.recordings import Recording, check, seconds
from mmft_core.contracts import Origin, Sample
from mmft_core.data.splits import Indices
from mmft_core.data.target_rows import TargetRows
from mmft_core.errors import SampleError
from mmft_core.files import printable

Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Spans:
    """Which parts of their files recordings are, in seconds (n,) each; NaN for the file's ends."""

    starts: Seconds
    ends: Seconds


class AudioRows(TargetRows):
    """Recordings as rows. A row without file or target stays in, so that the check reports it.

    Args:
        root: that the names are relative to.
        names: (n,) of files, as `mmft_core.data.labelled_files.pack` makes them.
        targets: (n,) strings, or (n,) indices into `classes`, or None.
        table: its name, for ids; "" where a file is an id.
    """

    target_noun = "transcript"

    def __init__(
        self,
        root: Path,
        names: pa.LargeBinaryArray,
        targets: pa.ChunkedArray | Indices | None = None,
        classes: tuple[str, ...] = (),
        table: str = "",
        spans: Spans | None = None,
    ) -> None:
        self.root, self.names, self.targets, self.classes = root, names, targets, classes
        self.table, self.spans = table, spans

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        return os.fsdecode(self.names[index].as_py())

    def sample_id(self, index: int) -> str:
        name = printable(self.name(index))
        if not self.table:
            return printable(str(self.root / name))
        return f"{self.table}, row {index + 1}" + (f" ({name})" if name else "")

    def recording(self, index: int) -> Recording:
        """Raises:
        SampleError: the row names no file.
        """
        sample_id, name = self.sample_id(index), self.name(index)
        if not name:
            raise SampleError(sample_id, "it names no file")
        start, end = 0.0, None
        if self.spans is not None:
            start = float(np.nan_to_num(self.spans.starts[index]))
            given = float(self.spans.ends[index])
            end = None if np.isnan(given) else given
        return Recording(self.root / name, start, end, sample_id)

    def __getitem__(self, index: int) -> Sample:
        recording = self.recording(index)
        return Sample({"audio": recording}, self.target(index), recording.id)

    def origin(self, index: int) -> Origin:
        name = self.names[index].as_py()
        span = (self.spans.starts[index], self.spans.ends[index]) if self.spans else ()
        files = (self.root / os.fsdecode(name),) if name else ()
        return Origin((name, span, self.cell(index)), files)

    def check(self, index: int) -> None:
        check(self.recording(index))
        self.target(index)

    def sizes(self) -> Sequence[float]:
        """Seconds; 0 of a file that cannot be read, which the check reports."""
        spans = self.spans
        if spans is None or np.isnan(spans.ends).any():
            return _from_headers(self)
        given: list[float] = (spans.ends - np.nan_to_num(spans.starts)).tolist()
        return given


def _from_headers(rows: AudioRows) -> list[float]:
    def length(index: int) -> float:
        try:
            return seconds(rows.recording(index))
        except SampleError:
            return 0.0

    with ThreadPoolExecutor() as pool:
        return list(pool.map(length, range(len(rows))))
