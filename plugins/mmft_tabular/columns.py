"""What the columns of the training rows are: scales of numbers, parts of dates, names of
categories; and how their cells are written."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeAlias

import msgspec

from mmft_core.contracts import Preview, Split
from mmft_core.errors import SampleError
from mmft_tabular.dates import DATE_FORMATS, PARTS, parts_of

_FILE = "columns.json"

Cell: TypeAlias = float | str | dt.datetime | None
"""A number, the name of a category, a date, or None where there is nothing."""

Cells: TypeAlias = Mapping[str, Cell]
"""A row, by column."""

Scale: TypeAlias = tuple[float, float]
"""Mean and standard deviation."""


@dataclass(frozen=True)
class Columns:
    """What was learned of the columns.

    Attributes:
        numbers: of each column of numbers.
        categories: the names that each column of categories has.
        dates: of each part of each column of dates.
        formats: how cells of numbers and dates are written, where it is known.
    """

    numbers: Mapping[str, Scale]
    categories: Mapping[str, tuple[str, ...]]
    dates: Mapping[str, Mapping[str, Scale]] = field(default_factory=dict)
    formats: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, split: Split, rare: int, formats: Mapping[str, str] | None = None) -> Columns:
        """Learn them from a split. A column without any cell counts as one of numbers.

        Args:
            rare: categories in fewer rows than this are left out.
            formats: of columns, as the data set found them.
        """
        known = formats or {}
        sums: dict[str, _Sums] = {}
        counts: dict[str, Counter[str]] = {}
        dates: dict[str, list[dt.datetime]] = {}
        for cells in _rows(split):
            for name, cell in cells.items():
                if isinstance(cell, str):
                    counts.setdefault(name, Counter())[cell] += 1
                elif isinstance(cell, dt.datetime):
                    dates.setdefault(name, []).append(cell)
                elif known.get(name) in DATE_FORMATS:
                    dates.setdefault(name, [])
                else:
                    sums.setdefault(name, _Sums()).add(cell)
        others = counts.keys() | dates.keys()
        return cls(
            numbers={n: s.scale() for n, s in sums.items() if n not in others},
            categories={
                n: tuple(sorted(k for k, v in c.items() if v >= rare)) for n, c in counts.items()
            },
            dates={
                n: {part: _Sums.of(map(PARTS[part], found)).scale() for part in parts_of(found)}
                for n, found in dates.items()
            },
            formats={n: f for n, f in known.items() if n in sums or n in dates},
        )

    @property
    def scales(self) -> Iterator[tuple[str, str, Scale]]:
        """All numbers that a row becomes: column, part of its date or "", scale."""
        yield from ((name, "", scale) for name, scale in self.numbers.items())
        for name, parts in self.dates.items():
            yield from ((name, part, scale) for part, scale in parts.items())

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

    @classmethod
    def of(cls, numbers: Iterator[int]) -> _Sums:
        sums = cls()
        for number in numbers:
            sums.add(number)
        return sums

    def add(self, number: float | None) -> None:
        if number is None:
            return
        self.count += 1
        step = number - self.mean
        self.mean += step / self.count
        self.squares += step * (number - self.mean)

    def scale(self) -> Scale:
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
    lines = [f"{name}: {shown(cell)}" for name, cell in cells.items() if cell is not None]
    return Preview("text/plain", "\n".join(lines).encode("utf-8", "replace"))


def shown(cell: Cell) -> str:
    """A cell as text: numbers in six digits, dates without a time that is midnight."""
    if cell is None or isinstance(cell, str):
        return cell or ""
    if isinstance(cell, dt.datetime):
        return cell.isoformat(" ").removesuffix(" 00:00:00")
    return f"{cell:.6g}"
