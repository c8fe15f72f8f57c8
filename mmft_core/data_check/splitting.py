"""Dividing rows into splits: by class, group or time, or into folds. The seed decides it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

import numpy as np

from mmft_core.data.splits import Indices, stratified
from mmft_core.data.table_columns import LABEL_NAMES
from mmft_core.errors import ConfigError, DataError, did_you_mean

Rows: TypeAlias = Sequence[Mapping[str, str]]


def divide_rows(
    rows: Rows, shares: Mapping[str, float], *, group: str | None, time: str | None, seed: int
) -> list[str]:
    """Give each row its split.

    Args:
        shares: of "val" and "test"; "train" gets the rest.
        group: a column; rows with the same cell come into the same split.
        time: a column of numbers or ISO dates; the last rows are test, those before them val.

    Raises:
        ConfigError: there is no such column, or nothing is left to train on.
        DataError: a cell is no time, or there are too few groups.
    """
    if sum(shares.values()) >= 1:
        raise ConfigError("--val and --test leave nothing to train on.")
    if group is not None:
        return _by_group(_cells(rows, group, "--group"), shares, seed)
    if time is not None:
        return _by_time(_times(_cells(rows, time, "--time"), time), shares)
    parts = stratified(_labels(rows), shares, seed)
    found = np.empty(len(rows), dtype=object)
    for name, places in parts.items():
        found[places] = name
    return [str(name) for name in found]


def fold_rows(rows: Rows, count: int, *, group: str | None, seed: int) -> Indices:
    """Give each row its fold, from 0: classes in proportion, groups never torn apart.

    Raises:
        ConfigError: there is no such column.
        DataError: there are fewer rows, or groups, than folds.
    """
    from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold

    labels, groups = _labels(rows), None
    if group is not None:
        groups = np.unique(_cells(rows, group, "--group"), return_inverse=True)[1]
    if len(rows if groups is None else np.unique(groups)) < count:
        what = "rows" if groups is None else f"groups in '{group}'"
        raise DataError(f"There are fewer {what} than the {count} folds.")
    fewest = int(np.bincount(labels).min())
    if groups is not None:
        divider = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    elif fewest >= count:
        divider = StratifiedKFold(count, shuffle=True, random_state=seed)
    else:
        divider = KFold(count, shuffle=True, random_state=seed)
    folds = np.zeros(len(rows), dtype=np.int64)
    for number, (_, places) in enumerate(divider.split(labels, labels, groups)):
        folds[places] = number
    return folds


def _cells(rows: Rows, column: str, option: str) -> list[str]:
    known = rows[0].keys()
    if column not in known:
        raise ConfigError(
            f"{option} {column}: there is no such column.{did_you_mean(column, known)}",
            hint=f"There are {', '.join(known)}.",
        )
    return [row[column] for row in rows]


def _labels(rows: Rows) -> Indices:
    """Class indices (n,); all the same where no column is clearly that of classes."""
    by_lower = {column.lower(): column for column in rows[0]}
    column = next((by_lower[name] for name in LABEL_NAMES if name in by_lower), None)
    cells = [row[column] for row in rows] if column is not None else []
    if not cells or len(set(cells)) > len(cells) / 2:  # Numbers, mostly, and no classes.
        return np.zeros(len(rows), dtype=np.int64)
    return np.unique(cells, return_inverse=True)[1].astype(np.int64)


def _by_group(groups: Sequence[str], shares: Mapping[str, float], seed: int) -> list[str]:
    """Fill test, then val, with whole groups in random order; train gets the others."""
    names, numbers = np.unique(groups, return_inverse=True)
    sizes = np.bincount(numbers)
    wanted = {name: share * len(groups) for name, share in shares.items() if share > 0}
    if len(names) <= len(wanted):
        raise DataError(
            f"There are {len(names)} groups, too few for {len(wanted) + 1} splits.",
            hint="Set --val 0 or --test 0.",
        )
    chosen = np.full(len(names), "train", dtype=object)
    waiting = list(np.random.default_rng(seed).permutation(len(names)))
    for name, most in wanted.items():
        held = 0
        # The first comes whatever its size, or else the split would be empty.
        for number in list(waiting[:-1]):
            if held == 0 or held + sizes[number] <= most:
                chosen[number] = name
                held += int(sizes[number])
                waiting.remove(number)
            if held >= most:
                break
    return [str(chosen[number]) for number in numbers]


def _by_time(times: Sequence[float], shares: Mapping[str, float]) -> list[str]:
    order = np.argsort(np.array(times), kind="stable")
    found = np.full(len(times), "train", dtype=object)
    end = len(times)
    for name in ("test", "val"):
        first = end - round(shares.get(name, 0.0) * len(times))
        found[order[first:end]] = name
        end = first
    return [str(name) for name in found]


def _times(cells: Sequence[str], column: str) -> list[float]:
    found = []
    for place, cell in enumerate(cells, start=1):
        try:
            found.append(_time(cell))
        except ValueError:
            raise DataError(
                f"Row {place}: '{cell}' in '{column}' is neither a number nor an ISO date.",
                hint="Write dates as 2026-11-24 or 2026-11-24T15:04:00.",
            ) from None
    return found


def _time(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return datetime.fromisoformat(cell.strip()).timestamp()
