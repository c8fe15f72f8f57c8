"""From a row's cells to tensors: standardised numbers, numbered categories."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmft_core.contracts import Preview, Processor, Tensors
from mmft_core.data.names import Lookup
from mmft_tabular.columns import Cells, Columns, row_preview

FARTHEST = 5.0
"""Standard deviations that a number may lie off the mean; what is farther is moved there."""

EMPTY, UNKNOWN = 0, 1
"""The numbers of an empty cell and of a category that training did not know; others follow."""


class TabularProcessor(Processor):
    """Turns cells into "numbers" (N,), "given" (N,) and "categories" (C,).

    An empty cell, or a column that the row lacks, is a number of 0 (the mean) that is not given,
    or the category `EMPTY`.
    """

    inspects = True

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self._places = {name: Lookup(categories) for name, categories in columns.categories.items()}

    def prepare(self, raw: Cells, *, train: bool) -> Tensors:
        numbers = [self._number(raw, name) for name in self.columns.numbers]
        return {
            "numbers": torch.tensor([n or 0.0 for n in numbers], dtype=torch.float32),
            "given": torch.tensor([n is not None for n in numbers], dtype=torch.bool),
            "categories": torch.tensor(
                [self._category(raw, name) for name in self._places], dtype=torch.int64
            ),
        }

    def _number(self, raw: Cells, name: str) -> float | None:
        cell = raw.get(name)
        if cell is None:
            return None
        mean, deviation = self.columns.numbers[name]
        return max(-FARTHEST, min(FARTHEST, (float(cell) - mean) / deviation))

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
                "numbers": "(batch, columns of numbers): less the mean, by the deviation, at most "
                f"{FARTHEST:g} from 0; 0 where there is none",
                "given": "which of them are there",
                "categories": "(batch, columns of categories): numbers of categories",
            },
            "numbers": {
                name: {"mean": mean, "deviation": deviation}
                for name, (mean, deviation) in self.columns.numbers.items()
            },
            "categories": {
                name: {
                    "": EMPTY,
                    "(any other)": UNKNOWN,
                    **{known: k for k, known in enumerate(names, start=UNKNOWN + 1)},
                }
                for name, names in self.columns.categories.items()
            },
        }

    def inspect(self, raw: Cells, *, train: bool = False) -> str | None:
        for name in self.columns.numbers:
            cell = raw.get(name)
            try:
                sound = cell is None or math.isfinite(float(cell))
            except ValueError:
                sound = False
            if not sound:
                raise ValueError(f"its {cell!r} in column '{name}' is no finite number")
        for name in self._places:
            if self._category(raw, name) == UNKNOWN:
                return f"a rare category in column '{name}', which counts as unknown"
        return None

    def preview(self, raw: Cells) -> Preview:
        return row_preview(raw)

    def fields(self) -> Mapping[str, tuple[str, ...] | None]:
        numbers = dict.fromkeys(self.columns.numbers)
        return {**numbers, **self.columns.categories}

    def parse(self, text: str) -> Cells | None:
        """A JSON object is a row."""
        try:
            cells = json.loads(text)
        except ValueError:
            return None
        return cells if isinstance(cells, dict) else None
