"""Samples that are there twice: exactly or nearly, in one split or across them.

Candidates share a band of a hash of what they look or sound like, as in locality-sensitive hashing
(Indyk and Motwani, 1998); they count once their profiles were compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mmft_core.contracts import Inspector
from mmft_data_check.findings import ORDER, Finding
from mmft_data_check.looking import Look


def find_duplicates(
    looks: Sequence[Look], inspectors: Mapping[str, Inspector], *, classes: bool
) -> Iterator[Finding]:
    """Find samples all of whose inputs are those of an earlier one, exactly or nearly.

    Of copies in several splits the one outside of test is named, or else the one outside of val,
    because it can be removed.

    Args:
        classes: whether targets are classes, of which a sample has only one. Of other targets it
            may have several: a picture with two captions is no duplicate within a split, but a leak
            across splits.
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
        other_place=(other.split, other.index),
    )


def _near(
    samples: Sequence[Look], inspectors: Mapping[str, Inspector]
) -> Iterator[tuple[Look, Look]]:
    """Samples with an earlier one that is nearly the same, in all of their modalities."""
    groups: dict[tuple[str, ...], list[Look]] = defaultdict(list)
    for sample in samples:
        if all(traits.bands for traits in sample.traits.values()):
            groups[(*sample.held, *sorted(sample.traits))].append(sample)
    for group in groups.values():
        yield from _near_of(group, {m: inspectors[m] for m in sorted(group[0].traits)})


def _near_of(
    samples: Sequence[Look], inspectors: Mapping[str, Inspector]
) -> Iterator[tuple[Look, Look]]:
    """`_near` for samples that have the same modalities."""
    profiles = {m: np.stack([sample.traits[m].profile for sample in samples]) for m in inspectors}
    modality, last = next(iter(inspectors)), samples[-1].split
    buckets: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row, sample in enumerate(samples):
        own = [buckets[place] for place in enumerate(sample.traits[modality].bands)]
        earlier = np.array(sorted({k for bucket in own for k in bucket}), dtype=np.int64)
        for m, inspector in inspectors.items():
            if len(earlier):
                similar = inspector.similarity(profiles[m][row], profiles[m][earlier])
                earlier = earlier[similar >= inspector.alike]
        if len(earlier):
            other = samples[int(earlier[0])]
            yield sample, other
            if sample.split == other.split == last:
                continue  # Removed later; else all frames of a film would be compared with all.
        for bucket in own:
            bucket.append(row)
