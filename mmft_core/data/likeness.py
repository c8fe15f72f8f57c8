"""How much of a data set also occurs in a run's data, in any order and with any labels."""

from __future__ import annotations

from collections import Counter
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from mmft_core.contracts import Split
from mmft_core.data.chunks import in_chunks
from mmft_core.data.fingerprints import Fingerprints

_Identity: TypeAlias = tuple[bytes, bytes | None]

_LOOKED_AT = 1000
"""Samples that are compared, evenly spread: reading the files of all would take long."""


def share_alike(kept: pa.Table, now: Split, fingerprints: Fingerprints) -> float:
    """Of a run's samples and these, the share of the smaller set that is also in the other.

    Samples are the same if their inputs are; for runs of older versions, only if their labels and
    the names of their files are the same, too.

    Args:
        kept: fingerprints of the run's samples.
    """
    then, found = _identities(kept, now, fingerprints)
    left, common = Counter(then), 0
    for identity in found:
        if identity is not None and left[identity] > 0:
            left[identity] -= 1
            common += 1
    smaller = max(1, min(len(now), len(kept)))
    return min(1.0, common * len(now) / max(1, len(found)) / smaller)


def share_known(kept: pa.Table, now: Split, fingerprints: Fingerprints) -> float:
    """The share of samples that are also among those of a run; see `share_alike`."""
    then, found = _identities(kept, now, fingerprints)
    known = set(then)
    return sum(each in known for each in found if each is not None) / max(1, len(found))


def _identities(
    kept: pa.Table, now: Split, fingerprints: Fingerprints
) -> tuple[list[_Identity], list[_Identity | None]]:
    """What identifies the samples of a run, and the present samples that are compared."""
    column = "values" if kept["inputs"].null_count == len(kept) else "inputs"
    then = list(zip(kept[column].to_pylist(), kept["content"].to_pylist(), strict=True))
    places = np.linspace(0, len(now) - 1, min(_LOOKED_AT, len(now))).astype(int).tolist()

    def identities(chunk: range) -> list[_Identity | None]:
        return [
            fingerprints.identity(now, places[k], with_labels=column == "values") for k in chunk
        ]

    return then, [each for part in in_chunks(len(places), identities) for each in part]
