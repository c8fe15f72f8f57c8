"""Published data sets of small pictures in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


class AbsentError(Exception):
    """Files are missing or incomplete, and may be downloaded."""


@dataclass(frozen=True)
class ArraySplit:
    """A split: (n, H, W) or (n, H, W, 3) uint8, and (n,) class indices."""

    images: np.ndarray[Any, np.dtype[np.uint8]]
    labels: np.ndarray[Any, np.dtype[np.int64]]

    def __post_init__(self) -> None:
        if len(self.images) != len(self.labels):
            raise ValueError(f"there are {len(self.images)} pictures and {len(self.labels)} labels")


@dataclass(frozen=True)
class Arrays:
    """A data set as it is published: "train" and "test".

    Attributes:
        notes: what is odd about its files.
    """

    parts: Mapping[str, ArraySplit]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, part in self.parts.items():
            if len(part.labels) and not 0 <= part.labels.min() <= part.labels.max() < len(
                self.classes
            ):
                raise ValueError(f"a label of {name} is not one of the {len(self.classes)} classes")
