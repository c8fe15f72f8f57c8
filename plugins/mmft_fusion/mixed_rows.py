"""Rows of a table as samples of several modalities."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from mmft_audio.recordings import Recording, check, seconds
from mmft_text.rows import text_lengths
from mmft_vision.images import check_image, open_image

from mmft_core.contracts import Origin, Sample
from mmft_core.data.splits import Indices
from mmft_core.data.target_rows import TargetRows
from mmft_core.errors import SampleError
from mmft_core.files import printable


class Inputs(ABC):
    """What the rows of a table have of one modality."""

    @abstractmethod
    def read(self, index: int, sample_id: str) -> Any:
        """A row's raw input, or None where it has none.

        Raises:
            SampleError: it cannot be read.
        """

    def check(self, index: int, sample_id: str) -> bool:
        """Whether a row has one; it is looked at as far as is needed to know that it is sound.

        Raises:
            SampleError: it is not.
        """
        return self.read(index, sample_id) is not None

    @abstractmethod
    def origin(self, index: int) -> Origin:
        """What a row's input is made of."""

    def sizes(self) -> Sequence[float] | None:
        """How large each is, if they differ; 0 of one that is missing or cannot be read."""
        return None


@dataclass(frozen=True)
class Files(Inputs):
    """Files named in a column, relative to a folder."""

    root: Path
    names: pa.LargeBinaryArray

    def path(self, index: int) -> Path | None:
        name = os.fsdecode(self.names[index].as_py())
        return self.root / name if name else None

    def origin(self, index: int) -> Origin:
        path = self.path(index)
        return Origin(self.names[index].as_py(), () if path is None else (path,))


class Pictures(Files):
    def read(self, index: int, sample_id: str) -> Any:
        path = self.path(index)
        return None if path is None else open_image(path, sample_id)

    def check(self, index: int, sample_id: str) -> bool:
        path = self.path(index)
        if path is not None:
            check_image(path, sample_id)
        return path is not None


class Recordings(Files):
    def read(self, index: int, sample_id: str) -> Any:
        path = self.path(index)
        return None if path is None else Recording(path, id=sample_id)

    def check(self, index: int, sample_id: str) -> bool:
        recording = self.read(index, sample_id)
        if recording is not None:
            check(recording)
        return recording is not None

    def sizes(self) -> Sequence[float]:
        return [self._seconds(index) for index in range(len(self.names))]

    def _seconds(self, index: int) -> float:
        try:
            recording = self.read(index, "")
            return 0.0 if recording is None else seconds(recording)
        except SampleError:  # Of which the check of the data tells.
            return 0.0


@dataclass(frozen=True)
class Texts(Inputs):
    """Columns of texts, which are joined; with several, each text follows its column's name."""

    columns: Mapping[str, pa.ChunkedArray]

    def read(self, index: int, sample_id: str) -> str | None:
        cells = {
            name: (column[index].as_py() or "").strip() for name, column in self.columns.items()
        }
        found = {name: text for name, text in cells.items() if text}
        if len(self.columns) == 1:
            return next(iter(found.values()), None)
        return "\n".join(f"{name}: {text}" for name, text in found.items()) or None

    def origin(self, index: int) -> Origin:
        return Origin({name: column[index].as_py() for name, column in self.columns.items()})

    def sizes(self) -> Sequence[float]:
        lengths = [text_lengths(column) for column in self.columns.values()]
        return np.sum(lengths, axis=0).tolist()  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Cells(Inputs):
    """Columns of numbers (n,), NaN for an empty cell, and of names of categories.

    Attributes:
        faults: what is wrong with the cells of a row.
    """

    numbers: Mapping[str, Any]
    categories: Mapping[str, pa.ChunkedArray]
    faults: Mapping[int, str]

    def read(self, index: int, sample_id: str) -> Mapping[str, float | str | None] | None:
        if index in self.faults:
            raise SampleError(sample_id, self.faults[index])
        cells: dict[str, float | str | None] = {}
        for name, column in self.numbers.items():
            number = float(column[index])
            cells[name] = None if np.isnan(number) else number
        for name, names in self.categories.items():
            cells[name] = (names[index].as_py() or "").strip() or None
        return cells if any(cell is not None for cell in cells.values()) else None

    def origin(self, index: int) -> Origin:
        numbers = {name: column[index] for name, column in self.numbers.items()}
        names = {name: column[index].as_py() for name, column in self.categories.items()}
        return Origin([numbers, names, self.faults.get(index)])


class MixedRows(TargetRows):
    """Rows with inputs of several modalities. A bad one stays in, so that the check reports it.

    Args:
        name: of the table, for ids.
        inputs: by modality.
        targets: (n,) numbers as text, or (n,) indices into `classes`, or None.
        partial: whether rows may lack some of the modalities.
    """

    target_noun = "target"

    def __init__(
        self,
        name: str,
        length: int,
        inputs: Mapping[str, Inputs],
        targets: pa.ChunkedArray | Indices | None,
        classes: tuple[str, ...],
        *,
        partial: bool,
    ) -> None:
        self.name, self.length, self.inputs = name, length, dict(inputs)
        self.targets, self.classes, self.partial = targets, classes, partial

    def __len__(self) -> int:
        return self.length

    def sample_id(self, index: int) -> str:
        return f"{printable(self.name)}, row {index + 1}"

    def __getitem__(self, index: int) -> Sample:
        inputs = {modality: self.input(index, modality) for modality in self.inputs}
        self._check_lacking(index, [m for m, raw in inputs.items() if raw is None])
        return Sample(inputs, self.target(index), self.sample_id(index))

    def input(self, index: int, modality: str) -> Any:
        own = self.inputs.get(modality)
        return None if own is None else own.read(index, self.sample_id(index))

    def origin(self, index: int) -> Origin:
        found = {modality: own.origin(index) for modality, own in self.inputs.items()}
        values = {modality: origin.values for modality, origin in found.items()}
        files = tuple(file for origin in found.values() for file in origin.files)
        return Origin([values, self.cell(index)], files)

    def check(self, index: int) -> None:
        sample_id = self.sample_id(index)
        there = {m: own.check(index, sample_id) for m, own in self.inputs.items()}
        self._check_lacking(index, [m for m, found in there.items() if not found])
        self.target(index)

    def sizes(self) -> Sequence[float] | None:
        """Seconds of audio, or else characters of text: what padding costs most of."""
        for modality in ("audio", "text"):
            if modality in self.inputs:
                return self.inputs[modality].sizes()
        return None

    def _check_lacking(self, index: int, lacking: Sequence[str]) -> None:
        if len(lacking) == len(self.inputs):
            raise SampleError(
                self.sample_id(index), f"it has no {' and no '.join(lacking)}", kind="empty"
            )
        if lacking and not self.partial:
            raise SampleError(self.sample_id(index), f"it has no {lacking[0]}", kind="missing")
