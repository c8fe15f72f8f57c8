"""Dividing rows into splits: by class, group or time, or into folds. The seed decides it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

import numpy as np

from mmft_core.data import Indices, fold_groups, stratified, whole_groups
from mmft_core.errors import ConfigError, DataError, did_you_mean
from mmft_tables.class_targets import LABEL_NAMES

Rows: TypeAlias = Sequence[Mapping[str, str]]


def find_label(rows: Rows, given: str | None) -> str | None:
    """The column of classes: the given one, or one with a usual name whose cells repeat.

    Raises:
        ConfigError: there is no such column.
        DataError: its cells hardly repeat.
    """
    if given is None:
        by_lower = {column.lower(): column for column in rows[0]}
        column = next((by_lower[name] for name in LABEL_NAMES if name in by_lower), None)
        return column if column is not None and _repeats(rows, column) else None
    _cells(rows, given, "--label")
    if not _repeats(rows, given):
        raise DataError(
            f"The cells of column '{given}' hardly repeat, so they are not classes.",
            hint="Leave out --label to divide at random.",
        )
    return given


def divide_rows(
    rows: Rows,
    shares: Mapping[str, float],
    *,
    label: str | None,
    group: str | None,
    time: str | None,
    seed: int,
) -> list[str]:
    """Give each row its split.

    Args:
        shares: of "val" and "test"; "train" gets the rest.
        label: the column of classes, each of which is divided in proportion.
        group: a column; rows with the same cell come into the same split.
        time: a column of numbers or ISO dates; the last rows are test, those before them val.

    Raises:
        ConfigError: there is no such column, or nothing is left to train on.
        DataError: a cell is not a time, or there are too few groups.
    """
    if sum(shares.values()) >= 1:
        raise ConfigError("--val and --test leave nothing to train on.")
    if group is not None:
        return _by_group(rows, group, label, shares, seed)
    if time is not None:
        return _by_time(_times(_cells(rows, time, "--time"), time), shares)
    return _named(stratified(_labels(rows, label), shares, seed), len(rows))


def fold_rows(
    rows: Rows, count: int, *, label: str | None, group: str | None, seed: int
) -> Indices:
    """Give each row its fold, from 0: classes in proportion, groups never torn apart.

    Raises:
        ConfigError: there is no such column.
        DataError: there are fewer rows, or groups, than folds.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    labels = _labels(rows, label)
    if group is not None:
        return fold_groups(_groups(rows, group), labels, count, seed)
    if len(rows) < count:
        raise DataError(f"There are fewer rows than the {count} folds.")
    by_class = int(np.bincount(labels).min()) >= count
    divider = (StratifiedKFold if by_class else KFold)(count, shuffle=True, random_state=seed)
    folds = np.zeros(len(rows), dtype=np.int64)
    for number, (_, places) in enumerate(divider.split(labels, labels)):
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


def _groups(rows: Rows, column: str) -> list[str]:
    groups = _cells(rows, column, "--group")
    if "" in groups:
        raise DataError(
            f"Row {groups.index('') + 1}: its cell in the group column '{column}' is empty.",
            hint="Fill it in; give a row without a group a unique name.",
        )
    return groups


def _repeats(rows: Rows, column: str) -> bool:
    """Whether cells repeat, as classes do and numbers mostly do not."""
    return 2 * len({row[column] for row in rows}) <= len(rows)


def _named(parts: Mapping[str, Indices], count: int) -> list[str]:
    """The split of each row, given the rows of each split."""
    found = np.empty(count, dtype=object)
    for name, places in parts.items():
        found[places] = name
    return [str(name) for name in found]


def _labels(rows: Rows, label: str | None) -> Indices:
    """Class indices (n,); all the same without a column of classes."""
    if label is None:
        return np.zeros(len(rows), dtype=np.int64)
    return np.unique([row[label] for row in rows], return_inverse=True)[1].astype(np.int64)


def _by_group(
    rows: Rows, group: str, label: str | None, shares: Mapping[str, float], seed: int
) -> list[str]:
    """Divide whole groups so that train has every class, unless the groups are the classes."""
    groups, labels = _groups(rows, group), _labels(rows, None if label == group else label)
    parts = whole_groups(groups, labels, {k: v for k, v in shares.items() if v > 0}, seed)
    empty = next((name for name, places in parts.items() if not len(places)), None)
    if empty is not None:
        raise DataError(
            f"Column '{group}' has {len(set(groups))} groups, too few to fill {empty} and keep "
            "every class in train.",
            hint="Set --val 0 or --test 0.",
        )
    return _named(parts, len(rows))


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
        number = float(cell)
    except ValueError:
        return datetime.fromisoformat(cell.strip()).timestamp()
    if not math.isfinite(number):  # What pandas makes of an empty cell.
        raise ValueError(cell)
    return number
