"""Samples that are there twice: exactly or nearly, in one split or across them.

Candidates share a band of a hash of what they look or sound like, as in locality-sensitive hashing
(Indyk and Motwani, 1998); they count once their profiles were compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mmft_core.contracts import Inspector
from mmft_core.data_check.findings import ORDER, Finding
from mmft_core.data_check.looking import Look


def find_duplicates(
    looks: Sequence[Look], inspectors: Mapping[str, Inspector]
) -> Iterator[Finding]:
    """Find samples all of whose inputs are those of an earlier one, exactly or nearly.

    Of copies in several splits the one outside of test, and of these outside of val, is named: it
    is what may go.
    """
    read = [sample for sample in looks if sample.traits]
    read.sort(key=lambda sample: -ORDER.get(sample.split, 3))
    first: dict[tuple[object, ...], Look] = {}
    single: list[Look] = []
    for sample in read:
        key = tuple((m, traits.digest) for m, traits in sorted(sample.traits.items()))
        known = first.setdefault((key, sample.held), sample)
        if known is sample:
            single.append(sample)
        else:
            yield _finding(sample, known, near=False)
            if sample.target != known.target:  # Nobody knows which of the two is right.
                yield _finding(known, sample, near=False)
    for sample, other in _near(single, inspectors):
        yield _finding(sample, other, near=True)


def _finding(sample: Look, other: Look, *, near: bool) -> Finding:
    same = "is nearly the same as" if near else "is a copy of"
    if sample.target != other.target and not near:
        kind = "conflict"
        text = f"{same} {other.id}, but is labelled {sample.target!r} and not {other.target!r}"
    elif sample.split != other.split:
        kind, text = "leak", f"{same} {other.id} in {other.split}"
    else:
        kind, text = "duplicate", f"{same} {other.id}"
    return Finding(
        kind=f"near-{kind}" if near else kind,
        split=sample.split,
        index=sample.index,
        id=sample.id,
        text=text,
        other=other.id,
    )


def _near(
    samples: Sequence[Look], inspectors: Mapping[str, Inspector]
) -> Iterator[tuple[Look, Look]]:
    """Samples with an earlier one that is nearly the same, in all of their modalities."""
    alike: list[dict[int, list[int]]] = []
    for modality, inspector in inspectors.items():
        own = [k for k, sample in enumerate(samples) if modality in sample.traits]
        if own:
            alike.append(_pairs(samples, own, modality, inspector))
    for k, sample in enumerate(samples):
        common: set[int] | None = None
        for (modality, _), pairs in zip(_held(samples, inspectors), alike, strict=True):
            if modality in sample.traits:
                found = set(pairs.get(k, ()))
                common = found if common is None else common & found
        earlier = min(common or (), default=None)
        if earlier is not None and samples[earlier].held == sample.held:
            yield sample, samples[earlier]


def _held(
    samples: Sequence[Look], inspectors: Mapping[str, Inspector]
) -> list[tuple[str, Inspector]]:
    return [(m, i) for m, i in inspectors.items() if any(m in s.traits for s in samples)]


def _pairs(
    samples: Sequence[Look], own: Sequence[int], modality: str, inspector: Inspector
) -> dict[int, list[int]]:
    """For each sample the earlier ones that it is nearly the same as."""
    profiles = np.stack([samples[k].traits[modality].profile for k in own])
    buckets: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row, k in enumerate(own):
        for number, band in enumerate(samples[k].traits[modality].bands):
            buckets[number, band].append(row)
    found: dict[int, set[int]] = defaultdict(set)
    for rows in buckets.values():
        members = np.array(rows)
        for place in range(1, len(rows)):
            similar = inspector.similarity(profiles[members[place]], profiles[members[:place]])
            near = members[:place][similar >= inspector.alike]
            found[own[rows[place]]].update(own[int(row)] for row in near)
    return {k: sorted(earlier) for k, earlier in found.items()}
