"""What the columns of the training rows are: scales of numbers, names of categories."""

from __future__ import annotations

import contextlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec

from mmft_core.contracts import Preview, Split
from mmft_core.errors import SampleError

_FILE = "columns.json"

Cells: TypeAlias = Mapping[str, float | str | None]
"""A row: a number, the name of a category, or None for an empty cell, by column."""


@dataclass(frozen=True)
class Columns:
    """What was learned of the columns.

    Attributes:
        numbers: mean and standard deviation of each column of numbers.
        categories: the names that each column of categories has.
    """

    numbers: Mapping[str, tuple[float, float]]
    categories: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, split: Split, rare: int) -> Columns:
        """Learn them from a split. A column without any cell counts as one of numbers.

        Args:
            rare: categories in fewer rows than this are left out.
        """
        sums: dict[str, _Sums] = {}
        counts: dict[str, Counter[str]] = {}
        for cells in _rows(split):
            for name, cell in cells.items():
                if isinstance(cell, str):
                    counts.setdefault(name, Counter())[cell] += 1
                else:
                    sums.setdefault(name, _Sums()).add(cell)
        numbers = {n: s.scale() for n, s in sums.items() if n not in counts}
        return cls(
            numbers,
            {n: tuple(sorted(k for k, v in c.items() if v >= rare)) for n, c in counts.items()},
        )

    @classmethod
    def load(cls, folder: Path) -> Columns:
        return msgspec.json.decode((folder / _FILE).read_bytes(), type=cls)

    def save(self, folder: Path) -> None:
        text = json.dumps(asdict(self), ensure_ascii=False, indent=1)
        (folder / _FILE).write_text(text, encoding="utf-8")


@dataclass
class _Sums:
    """Running mean and sum of squared deviations (Welford, 1962)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, number: float | None) -> None:
        if number is None:
            return
        self.count += 1
        step = number - self.mean
        self.mean += step / self.count
        self.squares += step * (number - self.mean)

    def scale(self) -> tuple[float, float]:
        deviation = math.sqrt(self.squares / self.count) if self.count else 0.0
        return self.mean, deviation or 1.0


def _rows(split: Split) -> Iterator[Cells]:
    """All rows but those of bad samples, of which the check of the data tells."""
    for index in range(len(split)):
        with contextlib.suppress(SampleError):
            cells = split.input(index, "tabular")
            if cells is not None:
                yield cells


def row_preview(cells: Cells) -> Preview:
    """A row as a report shows it: its cells by column, without the empty ones."""
    shown = {name: cell for name, cell in cells.items() if cell is not None}
    lines = [f"{n}: {c if isinstance(c, str) else f'{c:.6g}'}" for n, c in shown.items()]
    return Preview("text/plain", "\n".join(lines).encode("utf-8", "replace"))
