"""The figures of each class as one table, the worst class first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmft_core.contracts import MetricValue
from mmft_core.utils import numbers
from mmft_report import wording
from mmft_report.matrices import counts_of

_MOST = 2000


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """A class and its figures.

    Attributes:
        cells: (text, share from 0 to 1 or None) of each column.
        samples: how many there are, where that is known.
        mistaken: the class that it is most often taken for, and how often.
    """

    name: str
    cells: list[tuple[str, float | None]]
    samples: str | None = None
    mistaken: str | None = None


@dataclass(frozen=True, kw_only=True)
class ClassTable:
    """A row for each class, the worst first.

    Attributes:
        counted: whether it is known how many samples each has.
        omitted: how many of the better classes are left out, where there are too many to show.
    """

    columns: list[str]
    rows: list[ClassRow]
    counted: bool
    omitted: int


def class_table(
    values: Mapping[str, MetricValue], classes: Sequence[str], samples: int | None
) -> ClassTable | None:
    """The figures that there are for each class; None if there are none.

    Classes are ordered by the figures called "per-class"; other lists, such as of counts and
    thresholds, are only shown.

    Args:
        samples: how many samples the metrics cover.
    """
    columns = {
        name.removesuffix("/per-class"): value
        for name, value in values.items()
        if isinstance(value, list) and len(value) == len(classes) and not _nested(value)
    }
    ranked_by = {name for name in columns if f"{name}/per-class" in values} or set(columns)
    counts = counts_of(values, len(classes), samples)
    if not columns and counts is None:
        return None
    rows = []
    for index, name in enumerate(classes):
        figures = [column[index] for column in columns.values()]
        ranked = [v for name, v in zip(columns, figures, strict=True) if name in ranked_by]
        rows.append((_mean(ranked), _row(name, index, figures, classes, counts)))
    rows.sort(key=lambda pair: pair[0])
    return ClassTable(
        columns=list(columns),
        rows=[row for _, row in rows[:_MOST]],
        counted=counts is not None,
        omitted=max(0, len(rows) - _MOST),
    )


def _row(
    name: str, index: int, figures: Sequence[Any], classes: Sequence[str], counts: Any
) -> ClassRow:
    cells = [
        (numbers.readable(v), v if numbers.is_finite(v) and 0 <= v <= 1 else None) for v in figures
    ]
    if counts is None:
        return ClassRow(name=name, cells=cells)
    others = counts[index].copy()
    others[index] = 0
    most = int(np.argmax(others))
    return ClassRow(
        name=name,
        cells=cells,
        samples=wording.count(float(counts[index].sum())),
        mistaken=f"{classes[most]} ({others[most]:,.0f})" if others[most] else "",
    )


def _mean(figures: Sequence[Any]) -> float:
    """The mean of the defined figures; classes that have none come last."""
    defined = [v for v in figures if numbers.is_finite(v)]
    return sum(defined) / len(defined) if defined else math.inf


def _nested(value: Sequence[Any]) -> bool:
    return any(isinstance(item, list) for item in value)
