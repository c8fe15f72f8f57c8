"""What a folder or a column calls a split, and setting aside the splits that nobody gave."""

from __future__ import annotations

from collections.abc import Mapping

from mmft_core.contracts import Split
from mmft_core.data.splits import Indices, divide
from mmft_core.errors import ConfigError

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""Usual names, in lower case, of the three splits."""


def set_aside(
    split: Split, labels: Indices, shares: Mapping[str, float], seed: int
) -> tuple[dict[str, Split], list[str]]:
    """Divide a split at random, each class in proportion, and say in notes what was done.

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
    parts = divide(split, labels, shares, seed)
    wanted = [name for name, share in shares.items() if share > 0]
    made = [name for name in wanted if name in parts]
    lacking = [name for name in wanted if name not in parts]
    notes = []
    if made:
        notes.append(f"set aside at random, by class: {' and '.join(made)}")
    if lacking:
        notes.append(f"too few samples to set aside: {' and '.join(lacking)}")
    return parts, notes
