"""Dividing samples that belong together, such as a patient's visits or a speaker's recordings.

A group stays in one split; otherwise a model would be evaluated on what it has seen in training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mmft_core.data.splits import Indices
from mmft_core.errors import DataError
from mmft_core.utils.numbers import counted


def whole_groups(
    groups: Sequence[str], labels: Indices, shares: Mapping[str, float], seed: int
) -> dict[str, Indices]:
    """Divide samples at random, whole groups at a time.

    A part takes groups in random order as long as they fit into its share; if none fits, it takes
    the smallest.

    Args:
        groups: (n,) of the samples.
        labels: (n,) class indices.
        shares: of each part but "train", which gets the rest and at least one sample of every
            class; so a part may come out empty.

    Returns:
        For each part, "train" first, the sorted indices of its samples.
    """
    _, group_of = np.unique(np.asarray(groups), return_inverse=True)
    ends = np.cumsum(np.bincount(group_of))[:-1]
    members = np.split(np.argsort(group_of, kind="stable"), ends)
    waiting = list(np.random.default_rng(seed).permutation(len(members)))
    chosen: dict[str, list[int]] = {}
    left = _Left(labels)
    for name, share in shares.items():
        chosen[name] = _fill(members, waiting, share * len(labels), left)
        taken = set(chosen[name])
        waiting = [group for group in waiting if group not in taken]
    return {
        name: np.sort(np.concatenate([np.zeros(0, np.int64), *(members[g] for g in own)]))
        for name, own in {"train": waiting, **chosen}.items()
    }


class _Left:
    """How many samples of each class are left for train."""

    def __init__(self, labels: Indices) -> None:
        self.labels = np.unique(labels, return_inverse=True)[1]
        self.counts = np.bincount(self.labels)

    def can_spare(self, samples: Indices) -> bool:
        classes, counts = np.unique(self.labels[samples], return_counts=True)
        return bool((self.counts[classes] > counts).all())

    def take(self, samples: Indices) -> None:
        np.subtract.at(self.counts, self.labels[samples], 1)


def _fill(
    members: Sequence[Indices], waiting: Sequence[int], most: float, left: _Left
) -> list[int]:
    """Take waiting groups for a part: at most `most` samples, or the smallest if none fits."""
    taken: list[int] = []
    held = 0
    for group in waiting:
        own = members[group]
        if held + len(own) <= most and left.can_spare(own):
            taken.append(group)
            held += len(own)
            left.take(own)
    if not taken:
        by_size = sorted(waiting, key=lambda group: len(members[group]))
        taken = [group for group in by_size if left.can_spare(members[group])][:1]
        for group in taken:
            left.take(members[group])
    return taken


def fold_groups(groups: Sequence[str], labels: Indices, count: int, seed: int) -> Indices:
    """Deal whole groups out to folds, classes in proportion as far as groups allow.

    Returns:
        (n,) the fold of each sample, from 0.

    Raises:
        DataError: there are fewer groups than folds, or they cannot be dealt out.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    names, group_of = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < count:
        raise DataError(
            f"The samples belong to {counted(len(names), 'group')}, too few for {count} folds.",
            hint=f"Give --folds {len(names)} or fewer." if len(names) > 1 else None,
        )
    _, classes = np.unique(labels, return_inverse=True)
    if np.bincount(classes).min() < count:  # Then there is no proportion to keep.
        classes = np.zeros_like(classes)
    divider = StratifiedGroupKFold(count, shuffle=True, random_state=seed % 2**32)
    folds = np.zeros(len(classes), dtype=np.int64)
    for number, (_, held) in enumerate(divider.split(classes, classes, group_of)):
        folds[held] = number
    empty = set(range(count)) - set(folds.tolist())
    if empty:
        raise DataError(
            f"The sizes and classes of the groups leave {len(empty)} of {count} folds empty.",
            hint=f"Give fewer folds than {count}.",
        )
    return folds
