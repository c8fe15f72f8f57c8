"""Recordings in columns of Arrow, with a class, a transcript or nothing as their target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmft_audio.recordings import Recording, check, seconds
from mmft_core import cpus
from mmft_core.contracts import Origin, Sample
from mmft_core.data import Indices
from mmft_core.errors import SampleError
from mmft_core.utils import printable
from mmft_tables.row_files import RowFiles
from mmft_tables.row_ids import naming
from mmft_tables.target_rows import TargetRows

Seconds = npt.NDArray[np.float64]

_CHUNK = 256
"""Headers that are read by one call in a thread, because a call costs more than a header."""


@dataclass(frozen=True)
class Spans:
    """Which parts of their files recordings are, in seconds (n,) each; NaN for the file's ends."""

    starts: Seconds
    ends: Seconds


class AudioRows(TargetRows):
    """Recordings as rows. A row without file or target stays in, so that the check reports it.

    Args:
        files: (n,) of them.
        targets: (n,) strings, or (n,) indices into `classes`, or None.
        row_id: what messages call a row, by its index; None where a file's path is its id.
    """

    target_noun = "transcript"

    def __init__(
        self,
        files: RowFiles,
        targets: pa.ChunkedArray | Indices | None = None,
        classes: tuple[str, ...] = (),
        row_id: Callable[[int], str] | None = None,
        spans: Spans | None = None,
    ) -> None:
        self.files, self.targets, self.classes = files, targets, classes
        self.row_id, self.spans = row_id, spans

    def __len__(self) -> int:
        return len(self.files)

    def sample_id(self, index: int) -> str:
        if self.row_id is None:
            return printable(str(self.files.find(index)))
        return naming(self.row_id(index), self.files.name(index))

    def recording(self, index: int) -> Recording:
        """Raises:
        SampleError: the row names no file.
        """
        sample_id = self.sample_id(index)
        file = self.files.needed(index, sample_id)
        start, end = 0.0, None
        if self.spans is not None:
            start = float(np.nan_to_num(self.spans.starts[index]))
            given = float(self.spans.ends[index])
            end = None if np.isnan(given) else given
        return Recording(file, start, end, sample_id)

    def __getitem__(self, index: int) -> Sample:
        recording = self.recording(index)
        return Sample({"audio": recording}, self.target(index), recording.id)

    def origin(self, index: int) -> Origin:
        own = self.files.origin(index)
        span = (self.spans.starts[index], self.spans.ends[index]) if self.spans else ()
        return Origin((own.values, span, self.cell(index)), own.files, (own.inputs, span))

    def check(self, index: int) -> None:
        check(self.recording(index))
        self.target(index)

    def sizes(self) -> Sequence[float]:
        """Seconds; 0 of a file that cannot be read, which the check reports."""
        spans = self.spans
        if spans is None or np.isnan(spans.ends).any():
            return self._from_headers
        given: list[float] = (spans.ends - np.nan_to_num(spans.starts)).tolist()
        return given

    @cached_property
    def _from_headers(self) -> list[float]:
        def lengths(start: int) -> list[float]:
            return [self._length(k) for k in range(start, min(start + _CHUNK, len(self)))]

        with ThreadPoolExecutor(cpus.available()) as pool:
            chunks = pool.map(lengths, range(0, len(self), _CHUNK))
            return [length for chunk in chunks for length in chunk]

    def _length(self, index: int) -> float:
        try:
            return seconds(self.recording(index))
        except SampleError:
            return 0.0
