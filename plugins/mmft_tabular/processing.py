"""From a row's cells to tensors: standardised numbers, numbered categories."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmft_core.contracts import Preview, Processor, Tensors
from mmft_core.data import finite_number
from mmft_core.errors import SampleError
from mmft_datasets.names import Lookup
from mmft_tabular.columns import Cells, Columns, Scale, row_preview
from mmft_tabular.dates import DATE_FORMATS, PARTS, DateFormat, read_date
from mmft_tabular.number_format import NumberFormat, is_missing
from mmft_tabular.units import PERCENT

FARTHEST = 5.0
"""Standard deviations that a number may lie off the mean; what is farther is moved there."""

EMPTY, UNKNOWN = 0, 1
"""The numbers of an empty cell and of a category that training did not know; others follow."""


class TabularProcessor(Processor):
    """Turns cells into "numbers" (N,), "given" (N,) and "categories" (C,).

    Numbers and dates may be text in the format of their column. An empty cell, or a column that the
    row lacks, is a number of 0 (the mean) that is not given, or the category `EMPTY`.
    """

    inspects = True

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self._places = {name: Lookup(categories) for name, categories in columns.categories.items()}
        self._scales = list(columns.scales)
        self._names = tuple(self.fields())
        self._formats = {
            name: NumberFormat.parse(columns.formats.get(name, "")) or NumberFormat("decimal-point")
            for name in columns.numbers
        }

    def prepare(self, raw: Cells, *, train: bool) -> Tensors:
        if raw.keys().isdisjoint(self._names):
            raise ValueError(f"it has none of the columns {', '.join(self._names)}")
        numbers = [self._number(raw, *scale) for scale in self._scales]
        return {
            "numbers": torch.tensor([n or 0.0 for n in numbers], dtype=torch.float32),
            "given": torch.tensor([n is not None for n in numbers], dtype=torch.bool),
            "categories": torch.tensor(
                [self._category(raw, name) for name in self._places], dtype=torch.int64
            ),
        }

    def _number(self, raw: Cells, name: str, part: str, scale: Scale) -> float | None:
        cell = self._date(raw, name) if part else self._plain(raw, name)
        if cell is None:
            return None
        number = PARTS[part](cell) if isinstance(cell, dt.datetime) else cell
        mean, deviation = scale
        return max(-FARTHEST, min(FARTHEST, (number - mean) / deviation))

    def _plain(self, raw: Cells, name: str) -> float | None:
        """A cell of numbers.

        Raises:
            ValueError: it holds something else.
        """
        cell = raw.get(name)
        if cell is None or (isinstance(cell, str) and is_missing(cell)):
            return None
        number = self._formats[name].read(cell) if isinstance(cell, str) else finite_number(cell)
        if number is None:
            raise ValueError(f"its {cell!r} in column '{name}' {self._why_not(name, cell)}")
        return number

    def _why_not(self, name: str, cell: Any) -> str:
        why = self._formats[name].why_not(cell) if isinstance(cell, str) else "is not a number"
        if why != "is not a number":
            return why.replace("the others are", "the run's were")
        marks = self._formats[name].marks.replace("-", " ")
        read = f" (read with a {marks})" if isinstance(cell, str) and marks != "plain" else ""
        return f"is not a finite number{read}"

    def _date(self, raw: Cells, name: str) -> dt.datetime | None:
        """A cell of dates.

        Raises:
            ValueError: it holds something else.
        """
        cell = raw.get(name)
        if isinstance(cell, dt.datetime):
            return cell
        if cell is None or is_missing(str(cell)):
            return None
        form = self._date_format(name)
        date = read_date(str(cell), form)
        if date is None:
            raise ValueError(f"its {cell!r} in column '{name}' is not a date (read {form})")
        return date

    def _date_format(self, name: str) -> DateFormat:
        known = self.columns.formats.get(name)
        return next((form for form in DATE_FORMATS if form == known), "year-first")

    def _category(self, raw: Cells, name: str) -> int:
        cell = raw.get(name)
        if cell is None:
            return EMPTY
        place = self._places[name](str(cell))
        return UNKNOWN if place is None else UNKNOWN + 1 + place

    def collate(self, items: Sequence[Tensors]) -> Tensors:
        def stacked(name: str) -> Tensor:
            return torch.stack([item[name] for item in items])

        return {name: stacked(name) for name in ("numbers", "given", "categories")}

    def manifest(self) -> Mapping[str, Any]:
        return {
            "tensors": {
                "numbers": "(batch, columns of numbers): minus the mean, divided by the "
                "deviation, at most "
                f"{FARTHEST:g} from 0; 0 where there is none",
                "given": "which of them are present",
                "categories": "(batch, columns of categories): numbers of categories",
            },
            "numbers": {
                name: {"mean": mean, "deviation": deviation}
                for name, (mean, deviation) in self.columns.numbers.items()
            },
            **self._dates(),
            "categories": {
                name: {
                    "": EMPTY,
                    "(any other)": UNKNOWN,
                    **{known: k for k, known in enumerate(names, start=UNKNOWN + 1)},
                }
                for name, names in self.columns.categories.items()
            },
        }

    def _dates(self) -> Mapping[str, Any]:
        """Where there are dates: their parts, in the order in which they follow the numbers."""
        if not self.columns.dates:
            return {}
        told = {
            name: {
                "format": self._date_format(name),
                "parts": {p: {"mean": m, "deviation": d} for p, (m, d) in parts.items()},
            }
            for name, parts in self.columns.dates.items()
        }
        return {"dates": told}

    def inspect(self, raw: Cells, *, train: bool = False) -> str | None:
        for name in self.columns.numbers:
            self._plain(raw, name)
        for name in self.columns.dates:
            self._date(raw, name)
        for name in self._places:
            if self._category(raw, name) == UNKNOWN:
                return f"a rare category in column '{name}', which counts as unknown"
        return None

    def preview(self, raw: Cells) -> Preview:
        return row_preview(raw)

    def fields(self) -> Mapping[str, tuple[str, ...] | None]:
        numbers = dict.fromkeys(self.columns.numbers)
        return {**numbers, **dict.fromkeys(self.columns.dates, ()), **self.columns.categories}

    def read(self, source: Path) -> Cells:
        """No file holds a row; a line of standard input that is no row is taken for a file's name.

        Raises:
            SampleError: always.
        """
        name = self._names[0]
        value = "a" if name in self._places else "2024-01-31" if name in self.columns.dates else 1.5
        row = json.dumps({name: value}, ensure_ascii=False)
        raise SampleError(str(source), f"it is not a row: expected a JSON object such as {row}")

    def parse(self, text: str) -> Cells | None:
        """A JSON object is a row.

        Its plain numbers in columns of percent become text, for `prepare` to refuse: whether 0.12
        or 12 is meant by 12% cannot be told.
        """
        try:
            cells = json.loads(text)
        except ValueError:
            return None
        if not isinstance(cells, dict):
            return None
        for name, form in self._formats.items():
            if form.unit == PERCENT and type(cells.get(name)) in (int, float):
                cells[name] = str(cells[name])
        return cells
