"""Classes without samples in a split, which its metrics therefore say nothing about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmft_core.errors import some_of

_EVALUATED = ("val", "test")


def absent_classes(counts: Mapping[tuple[str, str], int], classes: Sequence[str]) -> list[str]:
    """A note for each split beside train that lacks classes, which names some of them.

    Args:
        counts: (split, class) -> samples.
    """
    notes = []
    for split in _EVALUATED:
        lacking = [name for name in classes if not counts.get((split, name))]
        if lacking and any(place == split for place, _ in counts):
            told = some_of(
                [f"{name} ({counts.get(('train', name), 0):,} in train)" for name in lacking]
            )
            number = f"{len(lacking):,} of {len(classes):,} classes"
            notes.append(f"{split} has no sample of {number}: {told.rstrip('.')}")
    return notes
