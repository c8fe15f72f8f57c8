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
    looks: Sequence[Look], inspectors: Mapping[str, Inspector], *, classes: bool
) -> Iterator[Finding]:
    """Find samples all of whose inputs are those of an earlier one, exactly or nearly.

    Of copies in several splits the one outside of test, and of these outside of val, is named: it
    is what may go.

    Args:
        classes: whether targets are classes, of which a sample has one. It may have several others:
            a picture with two captions is no copy in one split, but is a leak in two.
    """
    read = [sample for sample in looks if sample.traits]
    read.sort(key=lambda sample: -ORDER.get(sample.split, 3))
    same: dict[tuple[object, ...], Look] = {}
    first: dict[tuple[object, ...], Look] = {}
    single: list[Look] = []
    contradicted: set[str] = set()
    for sample in read:
        key = (sample.held, *(t.digest for _, t in sorted(sample.traits.items())))
        copied = same.setdefault((key, str(sample.target)), sample)
        known = first.setdefault(key, sample)
        if known is sample:
            single.append(sample)
        elif copied is not sample:
            yield _copy(sample, copied, near=False)
        elif classes:  # Nobody knows which of the two is right.
            yield _contradiction(sample, known)
            if known.id not in contradicted:
                contradicted.add(known.id)
                yield _contradiction(known, sample)
        elif sample.split != known.split:
            yield _copy(sample, known, near=False)
    for sample, other in _near(single, inspectors):
        if classes or sample.split != other.split or sample.target == other.target:
            yield _copy(sample, other, near=True)


def _copy(sample: Look, other: Look, *, near: bool) -> Finding:
    kind = "duplicate" if sample.split == other.split else "leak"
    what = "is nearly the same as" if near else "is a copy of"
    place = f"{other.id} in {other.split}" if kind == "leak" else other.id
    return _finding(f"near-{kind}" if near else kind, sample, other, f"{what} {place}")


def _contradiction(sample: Look, other: Look) -> Finding:
    text = f"is a copy of {other.id}, but is labelled {sample.target!r} and not {other.target!r}"
    return _finding("conflict", sample, other, text)


def _finding(kind: str, sample: Look, other: Look, text: str) -> Finding:
    return Finding(
        kind=kind,
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
