"""Inspection of raw inputs of any modality for `mmft data check`, and cutting of inputs that are
too long for `mmft data clean`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from mmft_core.contracts.data import Split
from mmft_core.contracts.preprocessing import Preview

Bytes: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]
Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """A summary of an input, small enough that a million of them fit into memory.

    Attributes:
        digest: a digest of its content, equal only for exact copies.
        bands: parts of a perceptual hash; similar inputs share at least one. Empty for inputs that
            are not compared.
        profile: (P,) what `Inspector.similarity` compares; P is the same for all.
        features: (F,) features by which a simple model can distinguish classes.
        size: its size in the inspector's unit.
        faults: faults that need no comparison with others: a sentence by kind ("silent", "blank").
    """

    digest: bytes
    bands: Sequence[int]
    profile: Bytes
    features: Floats
    size: float
    faults: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutting:
    """How inputs are to be cut.

    Attributes:
        longest: maximum length of a piece, in the inspector's unit.
        aligner: the user's choice of a model that finds which part of a text belongs to which
            piece; None if there is none.
        target: the kind of targets of the data set; compare `DatasetSpec.targets`.
        train: the training samples, for an aligner that needs them.
    """

    longest: float
    aligner: str | None
    target: str
    train: Split


@dataclass(frozen=True, slots=True, kw_only=True)
class InputPiece:
    """A piece of an input, in its own file.

    Attributes:
        cells: cells by column, as from `Inspector.cells`; "" for cells that apply only to the whole
            input. Paths are relative to the folder that the piece was written to.
        target: its part of the input's target; None if it has none.
        place: its position in the input, in words: "12.4 to 40.1 s".
    """

    cells: Mapping[str, str]
    target: Any
    place: str


class Cutter(ABC):
    """Cuts raw inputs of a modality into pieces, with their targets."""

    @abstractmethod
    def cut(self, raw: Any, target: Any, folder: Path, stem: str) -> Sequence[InputPiece]:
        """Cut an input, and write its pieces.

        Args:
            target: the sample's target.
            folder: folder to write the pieces to.
            stem: start of their file names.

        Returns:
            the pieces, in order; empty if the input need not be cut.

        Raises:
            SampleError: it cannot be cut; says why.
        """


class Inspector(ABC):
    """Inspects the raw inputs of a data set's modality. It travels to worker processes.

    Attributes:
        unit: the unit of `Traits.size`: "words", "seconds", "pixels".
        least_long: inputs up to this size are never reported as too long.
        alike: the minimum similarity of near duplicates.
        cuts: whether it has a cutter.
    """

    unit: str
    least_long: float
    alike: float
    cuts: bool = False

    def fit(self, train: Split, modality: str) -> Sequence[str]:
        """Collect what inspecting single inputs needs to know about the training samples.

        Called once, before anything else.

        Returns:
            what was found, for the report.
        """
        return ()

    @abstractmethod
    def inspect(self, raw: Any) -> Traits:
        """Inspect a raw input.

        Raises:
            SampleError: it cannot be read.
        """

    @abstractmethod
    def similarity(self, one: Bytes, others: Bytes) -> Floats:
        """The similarity of a profile (P,) to others (n, P): (n,), 1 for equal ones."""

    @abstractmethod
    def cells(self, raw: Any) -> Mapping[str, str]:
        """A raw input as cells of a table, by column; empty if it exists only in memory."""

    def preview(self, raw: Any) -> Preview | None:
        """Render a raw input for a report, or None where that is not possible."""
        return None

    def cutter(self, cutting: Cutting) -> Cutter:
        """The cutter for inputs that are too long. Only called if `cuts` is true.

        Raises:
            ConfigError: it needs an aligner and none is given, or the given one cannot align.
        """
        raise NotImplementedError
