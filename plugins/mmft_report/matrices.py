"""Matrices over classes as heat maps: rows are true classes, columns predicted ones.

Few classes are a table with numbers, more a table of coloured cells, many a picture. The diagonal
and the rest have a colour each, so that errors stand out; the square root makes rare ones visible.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from mmft_core.contracts import MetricValue
from mmft_report import wording

_NUMBERS, _LABELS = 15, 50
"""Numbers of classes up to which cells show numbers, and have labels."""
_PIXELS = 600
_HIT, _MISS = (59, 130, 246), (239, 68, 68)
_LEVELS = 63

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Levels: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Two classes that are taken for one another."""

    actual: str
    predicted: str
    value: str
    share: float


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """A matrix as the page shows it.

    Attributes:
        cells: rows of (text, strength from 0 to 1), or None where `picture` is shown.
        numbers: whether the cells' texts are shown.
        picture: a data address.
        confused: the largest values off the diagonal.
    """

    name: str
    cells: list[list[tuple[str, float]]] | None
    numbers: bool
    picture: str | None
    confused: list[Confusion]


def heat_maps(values: Mapping[str, MetricValue], classes: Sequence[str]) -> list[HeatMap]:
    """Every matrix among the metrics that is one over these classes."""
    return [
        _heat_map(name, np.nan_to_num(matrix), classes)
        for name, value in values.items()
        if (matrix := as_matrix(value, len(classes))) is not None
    ]


def as_matrix(value: Any, size: int) -> Array | None:
    """The value as a square matrix of that size; None if it is not one."""
    if not (isinstance(value, list) and len(value) == size and size > 0):
        return None
    if not all(isinstance(row, list) and len(row) == size for row in value):
        return None
    return np.array(value, dtype=np.float64)  # None, for an undefined value, becomes NaN.


def counts_of(values: Mapping[str, MetricValue], size: int, samples: int | None) -> Array | None:
    """The matrix that counts every evaluated sample, if there is one."""
    for value in values.values():
        matrix = as_matrix(value, size)
        if matrix is None or not np.isfinite(matrix).all():
            continue
        whole = (matrix >= 0).all() and (matrix == matrix.round()).all()
        if whole and matrix.sum() == samples:
            return matrix
    return None


def _heat_map(name: str, matrix: Array, classes: Sequence[str]) -> HeatMap:
    shares = _shares(matrix)
    strength = np.sqrt(shares)
    np.fill_diagonal(strength, np.diag(shares))
    cells, picture = None, None
    if len(classes) <= _LABELS:
        cells = [
            [(f"{v:g}" if v else "", round(float(s), 3)) for v, s in zip(*rows, strict=True)]
            for rows in zip(matrix.round(3), strength, strict=True)
        ]
    else:
        picture = _picture(strength)
    return HeatMap(
        name=name,
        cells=cells,
        numbers=len(classes) <= _NUMBERS,
        picture=picture,
        confused=_confused(matrix, shares, classes),
    )


def _shares(matrix: Array) -> Array:
    """Each value's share of its row; of the largest value if there are negative ones."""
    sizes = np.abs(matrix)
    whole = sizes.max() if (matrix < 0).any() else sizes.sum(1, keepdims=True)
    shares: Array = sizes / np.maximum(whole, 1e-12)
    return shares


def _confused(
    matrix: Array, shares: Array, classes: Sequence[str], most: int = 12
) -> list[Confusion]:
    off = matrix.copy()
    np.fill_diagonal(off, 0)
    largest = np.argsort(-off, axis=None, kind="stable")[:most]
    pairs = [divmod(int(flat), len(classes)) for flat in largest]
    return [
        Confusion(
            actual=classes[i],
            predicted=classes[j],
            value=f"{off[i, j]:,g}" if off[i, j] < 1e6 else wording.count(float(off[i, j])),
            share=float(shares[i, j]),
        )
        for i, j in pairs
        if off[i, j] > 0
    ]


def _picture(strength: Array) -> str:
    """A PNG data address. Strength is opacity, so that it suits light and dark pages alike."""
    levels = np.ceil(strength * _LEVELS).astype(np.uint8)
    diagonal = np.eye(len(strength), dtype=np.uint8)
    hits, misses = _shrunk(levels * diagonal), _shrunk(levels * (1 - diagonal))
    levels = np.where((hits > 0) | (misses == 0), hits, misses + _LEVELS)
    image = Image.fromarray(levels, mode="P")
    image.putpalette([0, 0, 0, *_HIT * _LEVELS, *_MISS * _LEVELS])
    opacity = [round(255 * level / _LEVELS) for level in range(1, _LEVELS + 1)]
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True, transparency=bytes([0, *opacity, *opacity]))
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _shrunk(levels: Levels) -> Levels:
    """At most `_PIXELS` wide: the strongest of each block, which averaging would wash out."""
    block = -(-len(levels) // _PIXELS)
    parts = -(-len(levels) // block)
    padded = np.zeros((parts * block, parts * block), dtype=np.uint8)
    padded[: len(levels), : len(levels)] = levels
    shrunk: Levels = padded.reshape(parts, block, parts, block).max((1, 3))
    return shrunk
