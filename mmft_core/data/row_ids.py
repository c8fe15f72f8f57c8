"""What messages and reports call the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmft_core.files import printable

_LONGEST = 120
"""Characters of a file's name beside the number of a row."""


class RowIds:
    """The file of each row and its number there, counted from 1: "labels.csv, row 17".

    Args:
        parts: the files or folders that a table consists of, in order, with their numbers of rows.
    """

    def __init__(self, parts: Sequence[tuple[str, int]]) -> None:
        self._names = tuple(name for name, _ in parts)
        self._ends = np.cumsum([count for _, count in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __call__(self, row: int) -> str:
        which = int(np.searchsorted(self._ends, row, side="right"))
        before = int(self._ends[which - 1]) if which else 0
        return f"{printable(self._names[which])}, row {row - before + 1}"


def naming(row: str, name: str) -> str:
    """What a row is called, with the name of the file that it is about if it has one."""
    shown = printable(name if len(name) <= _LONGEST else f"{name[:_LONGEST]}...")
    return f"{row} ({shown})" if shown else row
