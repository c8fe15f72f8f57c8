"""Inputs and texts to be written that are far longer than the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mmft_core.contracts import Inspector
from mmft_data_check.findings import Finding
from mmft_data_check.looking import Look

_TIMES = 10.0
"""What is longer than this many times the 95th percentile is too long."""

_LEAST_TARGET = 300.0
"""Characters up to which no target is too long, whatever the others are."""


def find_long(looks: Sequence[Look], inspectors: Mapping[str, Inspector]) -> Iterator[Finding]:
    """Find inputs that are much longer than the others: a batch is as large as its longest."""
    for modality, inspector in inspectors.items():
        own = [sample for sample in looks if modality in sample.traits]
        sizes = [sample.traits[modality].size for sample in own]
        yield from _longest(own, sizes, inspector.least_long, f"{inspector.unit} of {modality}")


def find_long_targets(looks: Sequence[Look]) -> Iterator[Finding]:
    """Find transcripts, summaries and captions that are much longer than the others: many come from
    cells that were joined by mistake."""
    own = [sample for sample in looks if isinstance(sample.target, str)]
    sizes = [float(len(sample.target)) for sample in own]
    yield from _longest(own, sizes, _LEAST_TARGET, "characters of target text")


def _longest(
    looks: Sequence[Look], lengths: Sequence[float], least: float, what: str
) -> Iterator[Finding]:
    if not looks:
        return
    sizes = np.array(lengths)
    usual = float(np.quantile(sizes, 0.95))
    for place in np.flatnonzero(sizes > max(least, _TIMES * usual)).tolist():
        sample = looks[place]
        yield Finding(
            kind="too-long",
            split=sample.split,
            index=sample.index,
            id=sample.id,
            text=f"has {sizes[place]:,.4g} {what}; 95% of all have at most {usual:,.4g}",
        )
