"""Dividing training data into folds: each is the validation split once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mmft_core.contracts import Dataset
from mmft_core.data.splits import Indices, Joined, Subset
from mmft_core.errors import DataError, SampleError
from mmft_core.planning.fold_choice import Folds


def in_folds(dataset: Dataset, folds: Folds, seed: int) -> Dataset:
    """Take the chosen fold of train and val together for val and the others for train.

    The test split stays as it is. Where targets are classes, every fold has each class in
    proportion; they go by targets and not by files, so nothing but these is read.

    Raises:
        DataError: there are fewer samples than folds, or fewer of a class.
    """
    given = [dataset.splits[name] for name in ("train", "val") if name in dataset.splits]
    whole = Joined(given)
    labels = _labels(whole, dataset.info.classes)
    _check_enough(labels, len(whole), folds.count, dataset.info.name)
    part = assign(np.zeros(len(whole), dtype=np.int64) if labels is None else labels, folds, seed)
    mine = part == (folds.chosen or 1) - 1
    splits = {
        "train": Subset(whole, np.flatnonzero(~mine)),
        "val": Subset(whole, np.flatnonzero(mine)),
    }
    rest = {name: split for name, split in dataset.splits.items() if name not in splits}
    how = "at random" if labels is None else "at random, by class"
    note = f"val is fold {folds.chosen or 1} of {folds.count} of the training data, divided {how}"
    info = replace(dataset.info, notes=(*dataset.info.notes, note))
    return replace(dataset, info=info, splits=splits | rest)


def assign(labels: Indices, folds: Folds, seed: int) -> Indices:
    """Deal samples out to folds at random, class by class, as stratified k-fold does (Kohavi,
    1995, "A study of cross-validation and bootstrap for accuracy estimation").

    The sizes of any two folds differ by one sample at most, and so do their numbers of each class.

    Args:
        labels: (n,) class indices.

    Returns:
        (n,) the fold of each sample, from 0.
    """
    random = np.random.default_rng((seed, folds.count))
    shuffled = random.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    part = np.empty(len(labels), dtype=np.int64)
    # Dealing goes on from class to class, so that no fold gets the odd sample of every class.
    part[by_class] = np.arange(len(labels)) % folds.count
    return part


def _labels(split: Joined, classes: Sequence[str]) -> Indices | None:
    """(n,) class indices, -1 for a bad sample's; None where a target is no class."""
    index_of = {name: index for index, name in enumerate(classes)}
    labels = []
    for index in range(len(split) if classes else 0):
        try:
            target = split.target(index)
        except SampleError:  # Of which the check of the data tells.
            labels.append(-1)
            continue
        if not isinstance(target, str) or target not in index_of:
            return None
        labels.append(index_of[target])
    return np.asarray(labels, dtype=np.int64) if classes else None


def _check_enough(labels: Indices | None, size: int, count: int, name: str) -> None:
    if size < count:
        raise DataError(
            f"Dataset '{name}' has {size} samples to learn from, too few for {count} folds.",
            hint=f"Give --folds {size} or fewer." if size > 1 else None,
        )
    if labels is None:
        return
    smallest = min(Counter(labels[labels >= 0].tolist()).values(), default=0)
    if smallest < count:
        fewest = f"--folds {smallest} or fewer, or " if smallest > 1 else ""
        raise DataError(
            f"The smallest class of dataset '{name}' has {smallest} "
            f"sample{'' if smallest == 1 else 's'} to learn from, too few for {count} folds.",
            hint=f"Give {fewest}more samples of it.",
        )
