"""Rows of a table as samples of several modalities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from mmft_audio.recordings import Recording, check, seconds
from mmft_core.contracts import Origin, Sample
from mmft_core.data import Indices
from mmft_core.errors import SampleError
from mmft_fusion.column_formats import NumberTargets
from mmft_tables.row_files import RowFiles
from mmft_tables.target_rows import TargetRows
from mmft_tabular.columns import Cell
from mmft_text.rows import text_lengths
from mmft_vision.images import check_image, open_image


class Inputs(ABC):
    """The inputs of one modality in the rows of a table."""

    @abstractmethod
    def read(self, index: int, sample_id: str) -> Any:
        """A row's raw input, or None where it has none.

        Raises:
            SampleError: it cannot be read.
        """

    def check(self, index: int, sample_id: str) -> bool:
        """Whether a row has one, which is read as far as needed to know that it is usable.

        Raises:
            SampleError: it is not.
        """
        return self.read(index, sample_id) is not None

    @abstractmethod
    def origin(self, index: int) -> Origin:
        """What a row's input is made of."""

    def sizes(self) -> Sequence[float] | None:
        """How large each is, if they differ; 0 for one that is missing or cannot be read."""
        return None


@dataclass(frozen=True)
class Pictures(Inputs):
    """Pictures in a column, as paths or as their content."""

    files: RowFiles

    def origin(self, index: int) -> Origin:
        return self.files.origin(index)

    def read(self, index: int, sample_id: str) -> Any:
        file = self.files.file(index, sample_id)
        return None if file is None else open_image(file, sample_id)

    def check(self, index: int, sample_id: str) -> bool:
        file = self.files.file(index, sample_id)
        if file is not None:
            check_image(file, sample_id)
        return file is not None


@dataclass(frozen=True)
class Recordings(Inputs):
    """Recordings in a column, as paths or as their content."""

    files: RowFiles

    def origin(self, index: int) -> Origin:
        return self.files.origin(index)

    def read(self, index: int, sample_id: str) -> Any:
        file = self.files.file(index, sample_id)
        return None if file is None else Recording(file, id=sample_id)

    def check(self, index: int, sample_id: str) -> bool:
        recording = self.read(index, sample_id)
        if recording is not None:
            check(recording)
        return recording is not None

    def sizes(self) -> Sequence[float]:
        return [self._seconds(index) for index in range(len(self.files))]

    def _seconds(self, index: int) -> float:
        try:
            recording = self.read(index, "")
            return 0.0 if recording is None else seconds(recording)
        except SampleError:  # Reported by the check of the data.
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
    """Columns of numbers (n,), NaN for an empty cell, of dates (n,) in seconds, and of names of
    categories.

    Attributes:
        faults: what is wrong with the cells of a row.
    """

    numbers: Mapping[str, Any]
    dates: Mapping[str, Any]
    categories: Mapping[str, pa.ChunkedArray]
    faults: Mapping[int, str]

    def read(self, index: int, sample_id: str) -> Mapping[str, Cell] | None:
        if index in self.faults:
            raise SampleError(sample_id, self.faults[index])
        cells: dict[str, Cell] = {}
        for name, column in self.numbers.items():
            number = float(column[index])
            cells[name] = None if np.isnan(number) else number
        for name, column in self.dates.items():
            cells[name] = column[index].item()
        for name, names in self.categories.items():
            cells[name] = (names[index].as_py() or "").strip() or None
        return cells if any(cell is not None for cell in cells.values()) else None

    def origin(self, index: int) -> Origin:
        columns = {**self.numbers, **self.dates}
        cells = {name: str(column[index]) for name, column in columns.items()}
        names = {name: column[index].as_py() for name, column in self.categories.items()}
        return Origin([cells, names, self.faults.get(index)])


class MixedRows(TargetRows):
    """Rows with inputs of several modalities. A bad one is kept, so that the check reports it.

    Args:
        row_id: what messages call a row, by its index; see `Table.row_id`.
        inputs: by modality.
        targets: (n,) texts, or (n,) indices into `classes`, or None.
        partial: whether rows may lack some of the modalities.
        numbers: reads targets that are numbers; None where they are something else.
    """

    target_noun = "target"

    def __init__(
        self,
        row_id: Callable[[int], str],
        length: int,
        inputs: Mapping[str, Inputs],
        targets: pa.ChunkedArray | Indices | None,
        classes: tuple[str, ...],
        *,
        partial: bool,
        numbers: NumberTargets | None = None,
    ) -> None:
        self.numbers = numbers
        self.row_id, self.length, self.inputs = row_id, length, dict(inputs)
        self.targets, self.classes, self.partial = targets, classes, partial

    def __len__(self) -> int:
        return self.length

    def sample_id(self, index: int) -> str:
        return self.row_id(index)

    def __getitem__(self, index: int) -> Sample:
        inputs = {modality: self.input(index, modality) for modality in self.inputs}
        self._check_lacking(index, [m for m, raw in inputs.items() if raw is None])
        return Sample(inputs, self.target(index), self.sample_id(index))

    def target(self, index: int) -> Any:
        target = super().target(index)
        if self.numbers is None:
            return target
        try:
            return self.numbers.read(target)
        except ValueError as error:
            raise SampleError(self.sample_id(index), str(error)) from None

    def input(self, index: int, modality: str) -> Any:
        own = self.inputs.get(modality)
        return None if own is None else own.read(index, self.sample_id(index))

    def origin(self, index: int) -> Origin:
        found = {modality: own.origin(index) for modality, own in self.inputs.items()}
        values = {modality: origin.values for modality, origin in found.items()}
        files = tuple(file for origin in found.values() for file in origin.files)
        inputs = {
            modality: origin.values if origin.inputs is None else origin.inputs
            for modality, origin in found.items()
        }
        return Origin([values, self.cell(index)], files, inputs)

    def check(self, index: int) -> None:
        sample_id = self.sample_id(index)
        there = {m: own.check(index, sample_id) for m, own in self.inputs.items()}
        self._check_lacking(index, [m for m, found in there.items() if not found])
        self.target(index)

    def sizes(self) -> Sequence[float] | None:
        """Seconds of audio, or else characters of text: the input whose padding costs most."""
        for modality in ("audio", "text"):
            if modality in self.inputs:
                return self.inputs[modality].sizes()
        return None

    def _check_lacking(self, index: int, lacking: Sequence[str]) -> None:
        if len(lacking) == len(self.inputs):
            raise SampleError(
                self.sample_id(index),
                f"it has no {' and no '.join(lacking) or 'input'}",
                kind="empty",
            )
        if lacking and not self.partial:
            raise SampleError(self.sample_id(index), f"it has no {lacking[0]}", kind="missing")
