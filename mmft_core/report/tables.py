"""Figures by their shape: rows of numbers, a table over classes, heat maps."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from mmft_core.contracts import MetricValue

_READABLE = 25
"""Up to so many classes, a matrix is a table with numbers; beyond, a picture."""


@dataclass(frozen=True)
class ClassTable:
    """A row for each class: its name and its figures."""

    columns: tuple[str, ...]
    rows: list[tuple[str, list[float]]]


@dataclass(frozen=True)
class Matrix:
    """A matrix over classes, as cells (value, shade from 0 to 1) or as a picture."""

    name: str
    cells: list[list[tuple[str, float]]] | None
    picture: str | None
    confused: list[tuple[str, str, int]]


def number(value: Any) -> str:
    """A figure as a reader likes it."""
    if not isinstance(value, float | int):
        return "–"
    if math.isnan(value):
        return "undefined"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:,.0f}"


def headline(results: Mapping[str, Any]) -> dict[str, str] | None:
    """The monitored figure on test, or else on val."""
    name = results["monitor"]["name"]
    for split in ("test", "val"):
        value = results["metrics"].get(split, {}).get(name)
        if isinstance(value, float | int):
            return {"name": name, "split": split, "value": number(value)}
    return None


def warnings_of(results: Mapping[str, Any]) -> list[str]:
    """What a reader must know before believing the figures."""
    found = []
    for part in results["backbones"].values():
        if part["weights"]["fell_back"]:
            found.append(
                f"{part['name']} was trained from random weights, for the published ones could "
                f"not be had: {part['weights']['detail']}"
            )
    data = results["dataset"]
    if data["synthetic"]:
        found.append(f"The data set {data['name']} is synthetic.")
    if data["skipped"]:
        found.append(f"{len(data['skipped'])} samples could not be used and were left out.")
    if "test" not in results["metrics"]:
        found.append("There was no test split; the figures are those of the validation split.")
    return found


def figure_rows(metrics: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """A row for each single figure, with a cell for each split."""
    names = dict.fromkeys(name for values in metrics.values() for name in values)
    rows = []
    for name in names:
        cells = [values.get(name) for values in metrics.values()]
        if all(cell is None or isinstance(cell, float | int) for cell in cells):
            rows.append((name, [number(cell) for cell in cells]))
    return rows


def class_table(values: Mapping[str, MetricValue], classes: Sequence[str]) -> ClassTable | None:
    """The figures that there are for each class, the worst class first."""
    columns = {
        name.partition("/")[0]: value
        for name, value in values.items()
        if _is_vector(value) and len(value) == len(classes)  # type: ignore[arg-type]
    }
    if not columns:
        return None
    lists: list[list[float]] = [list(v) for v in columns.values()]  # type: ignore[arg-type]
    rows = [(name, [column[i] for column in lists]) for i, name in enumerate(classes)]
    last = len(lists) // 2
    rows.sort(key=lambda row: -1.0 if math.isnan(row[1][last]) else row[1][last])
    return ClassTable(tuple(columns), rows)


def matrices(values: Mapping[str, MetricValue], classes: Sequence[str]) -> list[Matrix]:
    """Every matrix over classes, rows being true classes."""
    return [
        _matrix(name, np.asarray(value, dtype=float), classes)
        for name, value in values.items()
        if isinstance(value, list) and len(value) == len(classes) and isinstance(value[0], list)
    ]


def _matrix(name: str, counts: np.ndarray[Any, Any], classes: Sequence[str]) -> Matrix:
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    off = counts * (1 - np.eye(len(counts)))
    order = np.argsort(off, axis=None)[::-1][:10]
    confused = [
        (classes[int(i)], classes[int(j)], int(off[i, j]))
        for i, j in (np.unravel_index(k, off.shape) for k in order)
        if off[i, j] > 0
    ]
    if len(counts) > _READABLE:
        return Matrix(name, None, _picture(shares), confused)
    cells = [
        [(f"{count:g}" if count else "", float(share)) for count, share in zip(*row, strict=True)]
        for row in zip(counts, shares, strict=True)
    ]
    return Matrix(name, cells, None, confused)


def _picture(shares: np.ndarray[Any, Any]) -> str:
    """A heat map as a PNG data address: darker for larger shares, square roots for contrast."""
    pixels = (255 * (1 - np.sqrt(shares))).astype(np.uint8)
    image = Image.fromarray(pixels)
    scale = max(1, 600 // len(shares))
    side = len(shares) * scale
    buffer = io.BytesIO()
    image.resize((side, side), Image.Resampling.NEAREST).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _is_vector(value: MetricValue) -> bool:
    return isinstance(value, list) and bool(value) and not isinstance(value[0], list)
