"""What messages and reports call the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmft_core.data import Indices
from mmft_core.utils import printable

_LONGEST = 120
"""Characters of a file's name beside the number of a row."""


@dataclass(frozen=True)
class RowIds:
    """Names the rows of a file: "labels.csv, row 17". It is sent to worker processes.

    Attributes:
        name: of the table.
        numbers: (n,) of the rows, if some rows of the file are skipped.
    """

    name: str
    numbers: Indices | None = None

    def __call__(self, index: int) -> str:
        number = index + 1 if self.numbers is None else int(self.numbers[index])
        return f"{printable(self.name)}, row {number}"


class PartIds:
    """Names the rows of a table of several files by the file and the number in it.

    Args:
        parts: the names of the files, in order, with their numbers of rows.
    """

    def __init__(self, parts: Sequence[tuple[str, int]]) -> None:
        self._names = [name for name, _ in parts]
        self._ends = np.cumsum([count for _, count in parts])

    def __call__(self, index: int) -> str:
        which = int(np.searchsorted(self._ends, index, side="right"))
        before = int(self._ends[which - 1]) if which else 0
        return RowIds(self._names[which])(index - before)


def naming(row: str, name: str) -> str:
    """What a row is called, with the name of its file if it has one."""
    shown = printable(name if len(name) <= _LONGEST else f"{name[:_LONGEST]}...")
    return f"{row} ({shown})" if shown else row
