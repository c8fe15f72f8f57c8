"""Setting aside splits that the data do not have."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mmft_core.contracts import Split
from mmft_core.data import Indices, Subset, stratified, whole_groups
from mmft_core.errors import ConfigError


def set_aside(
    split: Split, labels: Indices, shares: Mapping[str, float], seed: int
) -> tuple[dict[str, Split], list[str]]:
    """Divide a split at random and say in notes what was done.

    Each class is divided in proportion; or, where samples are of groups, these stay whole.

    Args:
        labels: (n,) class indices.
        shares: of "val" and "test"; "train" gets the rest, and of small classes everything.

    Raises:
        ConfigError: the shares leave nothing to train on.
    """
    if sum(shares.values()) >= 1:
        settings = " and ".join(f"dataset.{name} = {share:g}" for name, share in shares.items())
        raise ConfigError(
            f"{settings} leave nothing to train on.", hint="Together they must be less than 1."
        )
    wanted = {name: share for name, share in shares.items() if share > 0}
    groups = split.groups()
    if groups is None:
        chosen = stratified(labels, wanted, seed)
    else:
        chosen = whole_groups(groups, labels, wanted, seed)
    parts: dict[str, Split] = {n: Subset(split, own) for n, own in chosen.items() if len(own)}
    made = [name for name in wanted if name in parts]
    lacking = [name for name in wanted if name not in parts]
    notes = []
    if made:
        by_class = ", by class" if len(np.unique(labels)) > 1 else ""
        how = by_class if groups is None else ", whole groups"
        notes.append(f"set aside at random{how}: {' and '.join(made)}")
    if lacking:
        what = "samples" if groups is None else "groups"
        notes.append(f"too few {what} to set aside: {' and '.join(lacking)}")
    return parts, notes
