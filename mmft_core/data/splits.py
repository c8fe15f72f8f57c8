"""Splits made from others: subsets, joined splits, and random splits stratified by class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias

import numpy as np

from mmft_core.contracts import Origin, Sample, Split
from mmft_core.errors import PluginError
from mmft_core.plugin_errors import FAULT

Indices: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]


def of_each(split: Split, what: Literal["sizes", "groups"]) -> Sequence[Any] | None:
    """What a split says of each of its samples.

    Raises:
        PluginError: it is not one for each.
    """
    found: Sequence[Any] | None = getattr(split, what)()
    if found is not None and len(found) != len(split):
        own = type(split)
        raise PluginError(
            f"The split {own.__module__}.{own.__name__} returned {len(found):,} values from "
            f"`{what}` for {len(split):,} samples.",
            hint=FAULT,
        )
    return found


class _View(Split):
    """A split whose samples are those of others."""

    @property
    def parts(self) -> tuple[Split, ...]:
        """The splits that it is a view of."""
        raise NotImplementedError

    def _locate(self, index: int) -> tuple[Split, int]:
        raise NotImplementedError

    def __getitem__(self, index: int) -> Sample:
        split, at = self._locate(index)
        return split[at]

    def target(self, index: int) -> Any:
        split, at = self._locate(index)
        return split.target(at)

    def input(self, index: int, modality: str) -> Any:
        split, at = self._locate(index)
        return split.input(at, modality)

    def sample_id(self, index: int) -> str:
        split, at = self._locate(index)
        return split.sample_id(at)

    def origin(self, index: int) -> Origin | None:
        split, at = self._locate(index)
        return split.origin(at)

    def check(self, index: int) -> None:
        split, at = self._locate(index)
        split.check(at)


class Subset(_View):
    """Some samples of a split, by their indices (n,).

    Attributes:
        split: the underlying split; never itself a `Subset`, because nested subsets are flattened.
    """

    split: Split
    indices: Indices

    def __init__(self, split: Split, indices: Indices) -> None:
        if isinstance(split, Subset):
            indices, split = split.indices[indices], split.split
        self.split, self.indices = split, indices

    @property
    def parts(self) -> tuple[Split, ...]:
        return (self.split,)

    def __len__(self) -> int:
        return len(self.indices)

    def sizes(self) -> Sequence[float] | None:
        sizes = of_each(self.split, "sizes")
        return None if sizes is None else np.asarray(sizes)[self.indices].tolist()

    def groups(self) -> Sequence[str] | None:
        groups = of_each(self.split, "groups")
        return None if groups is None else [groups[index] for index in self.indices.tolist()]

    def _locate(self, index: int) -> tuple[Split, int]:
        return self.split, int(self.indices[index])


class Same(_View):
    """A split with the same samples in the same order."""

    def __init__(self, split: Split) -> None:
        self.split = split

    @property
    def parts(self) -> tuple[Split, ...]:
        return (self.split,)

    def __len__(self) -> int:
        return len(self.split)

    def sizes(self) -> Sequence[float] | None:
        return self.split.sizes()

    def groups(self) -> Sequence[str] | None:
        return self.split.groups()

    def _locate(self, index: int) -> tuple[Split, int]:
        return self.split, index


class Unlabelled(Same):
    """A split without its targets, which a model may not know."""

    def __getitem__(self, index: int) -> Sample:
        return replace(self.split[index], target=None)


class Grouped(Same):
    """A split whose samples are of these groups (n,)."""

    def __init__(self, split: Split, groups: Sequence[str]) -> None:
        super().__init__(split)
        self._groups = groups

    def groups(self) -> Sequence[str]:
        return self._groups


class Joined(_View):
    """Several splits one after the other."""

    def __init__(self, splits: Iterable[Split]) -> None:
        self.splits = tuple(splits)
        self._ends = np.cumsum([len(split) for split in self.splits])

    @property
    def parts(self) -> tuple[Split, ...]:
        return self.splits

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def sizes(self) -> Sequence[float] | None:
        parts = [of_each(split, "sizes") for split in self.splits]
        known = [part for part in parts if part is not None]
        return [size for part in known for size in part] if len(known) == len(parts) else None

    def groups(self) -> Sequence[str] | None:
        parts = [of_each(split, "groups") for split in self.splits]
        known = [part for part in parts if part is not None]
        return [group for part in known for group in part] if len(known) == len(parts) else None

    def _locate(self, index: int) -> tuple[Split, int]:
        which = int(np.searchsorted(self._ends, index, side="right"))
        return self.splits[which], index - (int(self._ends[which - 1]) if which else 0)


def together(splits: Iterable[Split]) -> Split:
    """All samples of several splits; parts of one split come in its order, as they did before it
    was divided."""
    parts = list(splits)
    subsets = [part for part in parts if isinstance(part, Subset)]
    wholes = {id(part.split) for part in subsets}
    if len(subsets) < len(parts) or len(wholes) != 1:
        return Joined(parts)
    return Subset(subsets[0].split, np.sort(np.concatenate([part.indices for part in subsets])))


class Whole(Joined):
    """All samples of a data set, however it is divided: those of the splits below all views.

    The same data give the same samples at the same places, whatever the seed, the shares of the
    splits or the folds.
    """

    def __init__(self, splits: Mapping[str, Split]) -> None:
        order = sorted(splits, key=lambda name: (_ORDER.get(name, len(_ORDER)), name))
        super().__init__(_leaves(splits[name] for name in order))

    def places(self, split: Split) -> Indices:
        """The positions of the samples of a split (n,)."""
        if isinstance(split, Subset):
            return self.places(split.split)[split.indices]
        if isinstance(split, _View):
            return np.concatenate([np.zeros(0, np.int64), *map(self.places, split.parts)])
        which = next(k for k, leaf in enumerate(self.splits) if leaf is split)
        end = int(self._ends[which])
        return np.arange(end - len(split), end)


_ORDER = {"train": 0, "val": 1, "test": 2}


def _leaves(splits: Iterable[Split]) -> list[Split]:
    """The splits below all views, each once."""
    found: dict[int, Split] = {}
    for split in splits:
        below = _leaves(split.parts) if isinstance(split, _View) else [split]
        found |= {id(leaf): leaf for leaf in below}
    return list(found.values())


def stratified(labels: Indices, shares: Mapping[str, float], seed: int) -> dict[str, Indices]:
    """Divide samples at random so that every part has each class in proportion.

    Args:
        labels: (n,) class indices.
        shares: of each part but "train", which gets the rest and at least one sample of every
            class.

    Returns:
        For each part, "train" first, the sorted indices of its samples.
    """
    random = np.random.default_rng(seed)
    parts: dict[str, list[Indices]] = {"train": [], **{name: [] for name in shares}}
    by_class = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[by_class])) + 1
    for group in np.split(by_class, starts):
        members = random.permutation(group)
        for name, share in shares.items():
            # Half-up rounding, so that a class of five gives one to a share of a tenth.
            wanted = min(int(share * len(group) + 0.5), len(members) - 1)
            parts[name].append(members[:wanted])
            members = members[wanted:]
        parts["train"].append(members)
    return {
        name: np.sort(np.concatenate(chunks)) if chunks else np.zeros(0, dtype=np.int64)
        for name, chunks in parts.items()
    }
