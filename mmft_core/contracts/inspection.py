"""Inspection: what `mmft data check` learns of a raw input, whatever its modality; and cutting
inputs that are too long, by `mmft data clean`."""

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
    """What is kept of an input: little enough that a million of them fit into memory.

    Attributes:
        digest: of its content, equal for exact copies only.
        bands: parts of a hash of what it looks or sounds like; of two that are alike at least
            one is equal. Empty for inputs that are not to be compared.
        profile: (P,) what `Inspector.similarity` compares; P is the same for all.
        features: (F,) by which a simple model may tell classes apart.
        size: in the inspector's unit.
        faults: what is wrong with it alone: a sentence by kind ("silent", "blank").
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
        longest: of a piece, in the inspector's unit.
        aligner: what finds which part of a text belongs to which piece, as the user named it; None
            if nobody did.
        target: what the data set's targets are; compare `DatasetSpec.targets`.
        train: the samples, for an aligner that has to know them.
    """

    longest: float
    aligner: str | None
    target: str
    train: Split


@dataclass(frozen=True, slots=True, kw_only=True)
class InputPiece:
    """A piece of an input, in a file of its own.

    Attributes:
        cells: as `Inspector.cells` gives, by column; "" for cells that only the input had. Paths
            are relative to the folder that the piece was written to.
        target: what belongs to it of the input's; None if there is nothing.
        place: where in the input it is, in words: "12.4 to 40.1 s".
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
            target: the sample's.
            folder: for the pieces.
            stem: that the names of their files begin with.

        Returns:
            the pieces, in order; empty if the input may stay as it is.

        Raises:
            SampleError: it cannot be cut; says why.
        """


class Inspector(ABC):
    """Inspects the raw inputs of a data set's modality. It travels to worker processes.

    Attributes:
        unit: of `Traits.size`: "words", "seconds", "pixels".
        least_long: a size up to which nothing is too long, whatever the others are.
        alike: the similarity from which on two inputs count as near duplicates.
        cuts: whether it has a cutter.
    """

    unit: str
    least_long: float
    alike: float
    cuts: bool = False

    def fit(self, train: Split, modality: str) -> Sequence[str]:
        """Learn from the training samples what looking at single ones needs. Called once, first.

        Returns:
            what was found, for the report.
        """
        return ()

    @abstractmethod
    def inspect(self, raw: Any) -> Traits:
        """Look at a raw input.

        Raises:
            SampleError: it cannot be read.
        """

    @abstractmethod
    def similarity(self, one: Bytes, others: Bytes) -> Floats:
        """How alike the profile (P,) is to others (n, P): (n,), 1 for the same."""

    @abstractmethod
    def cells(self, raw: Any) -> Mapping[str, str]:
        """A raw input as cells of a table, by column; empty if it is in memory alone."""

    def preview(self, raw: Any) -> Preview | None:
        """Render a raw input for a report, or None where that is not possible."""
        return None

    def cutter(self, cutting: Cutting) -> Cutter:
        """What cuts inputs that are too long. Only asked for if it `cuts`.

        Raises:
            ConfigError: an aligner is needed and none is named, or it cannot align.
        """
        raise NotImplementedError
