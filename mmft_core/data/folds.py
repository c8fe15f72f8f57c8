"""Dividing training data into folds, each of which is the validation split once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mmft_core.contracts import Dataset, DatasetInfo
from mmft_core.data.fold_choice import Folds
from mmft_core.data.groups import fold_groups
from mmft_core.data.splits import Indices, Joined, Subset
from mmft_core.errors import DataError, SampleError
from mmft_core.utils.numbers import counted


def in_folds(dataset: Dataset, folds: Folds, seed: int, *, unseen_classes: bool = False) -> Dataset:
    """Take the chosen fold of train and val together for val and the others for train.

    The test split stays as it is. Folds are stratified by class, or by the rarest label of each
    sample if targets are sets of labels. Only targets are read for this, not files. Groups stay
    whole.

    Args:
        unseen_classes: whether a fold may hold classes that none of the others has.

    Raises:
        DataError: there are fewer samples or groups than folds, or fewer of a class.
    """
    given = [dataset.splits[name] for name in ("train", "val") if name in dataset.splits]
    whole = Joined(given)
    labels = _labels(whole, dataset.info.classes)
    rarest = _rarest(whole, dataset.info.classes) if labels is None else None
    _check_enough(labels, len(whole), folds.count, dataset.info.name)
    labels = rarest if labels is None else labels
    known = np.zeros(len(whole), dtype=np.int64) if labels is None else labels
    groups = whole.groups()
    if groups is None:
        part = assign(known, folds, seed)
    else:
        part = fold_groups(groups, known, folds.count, seed)
        if not unseen_classes and rarest is None:
            _check_classes(part, known, folds.count, dataset.info)
    mine = part == (folds.chosen or 1) - 1
    splits = {
        "train": Subset(whole, np.flatnonzero(~mine)),
        "val": Subset(whole, np.flatnonzero(mine)),
    }
    rest = {name: split for name, split in dataset.splits.items() if name not in splits}
    how = "at random" if labels is None else "at random, by class"
    how = how if rarest is None else "at random, by the rarest label of each sample"
    how = how if groups is None else f"{how}, groups kept together"
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
    # Dealing continues from class to class, so that no fold gets the odd sample of every class.
    part[by_class] = np.arange(len(labels)) % folds.count
    return part


def _labels(split: Joined, classes: Sequence[str]) -> Indices | None:
    """(n,) class indices, -1 for a bad sample's; None where a target is not a class."""
    index_of = {name: index for index, name in enumerate(classes)}
    labels = []
    for index in range(len(split) if classes else 0):
        try:
            target = split.target(index)
        except SampleError:  # Reported by the check of the data.
            labels.append(-1)
            continue
        if not isinstance(target, str) or target not in index_of:
            return None
        labels.append(index_of[target])
    return np.asarray(labels, dtype=np.int64) if classes else None


def _rarest(split: Joined, classes: Sequence[str]) -> Indices | None:
    """(n,) the index of each sample's rarest label, -1 where it has none; None where targets are
    not sets of labels."""
    targets: list[Sequence[str]] = []
    for index in range(len(split) if classes else 0):
        try:
            target = split.target(index)
        except SampleError:  # Reported by the check of the data.
            target = ()
        if not isinstance(target, list | tuple):
            return None
        targets.append(target)
    if not targets:
        return None
    counts = Counter(label for target in targets for label in target)
    place = {name: index for index, name in enumerate(classes)}
    rarest = [min(target, key=counts.__getitem__, default=None) for target in targets]
    return np.array([-1 if name is None else place.get(name, -1) for name in rarest])


def _check_enough(labels: Indices | None, size: int, count: int, name: str) -> None:
    if size < count:
        raise DataError(
            f"Dataset '{name}' has {counted(size, 'sample')} to learn from, too few for {count} "
            "folds.",
            hint=f"Give --folds {size} or fewer." if size > 1 else None,
        )
    if labels is None:
        return
    smallest = min(Counter(labels[labels >= 0].tolist()).values(), default=0)
    if smallest < count:
        fewest = f"--folds {smallest} or fewer, or " if smallest > 1 else ""
        raise DataError(
            f"The smallest class of dataset '{name}' has {counted(smallest, 'sample')} to learn "
            f"from, too few for {count} folds.",
            hint=f"Give {fewest}more samples of it.",
        )


def _check_classes(part: Indices, labels: Indices, count: int, info: DatasetInfo) -> None:
    """Check that the samples outside each fold have all classes, which groups may prevent."""
    for fold in range(count):
        lacking = np.setdiff1d(labels[labels >= 0], labels[part != fold])
        if len(lacking):
            name = info.classes[int(lacking[0])]
            raise DataError(
                f"Every sample of class '{name}' of dataset '{info.name}' that can be learned from "
                f"is in fold {fold + 1} of {count}, because too few groups have it.",
                hint="Give fewer folds, or leave the class out.",
            )
