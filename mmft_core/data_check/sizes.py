"""Inputs that are far longer than the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mmft_core.contracts import Inspector
from mmft_core.data_check.findings import Finding
from mmft_core.data_check.looking import Look

_TIMES = 10.0
"""So many times the length that nineteen in twenty do not exceed."""


def find_long(looks: Sequence[Look], inspectors: Mapping[str, Inspector]) -> Iterator[Finding]:
    """Find inputs beside which the others are short: a batch is as large as its longest."""
    for modality, inspector in inspectors.items():
        own = [sample for sample in looks if modality in sample.traits]
        if not own:
            continue
        sizes = np.array([sample.traits[modality].size for sample in own])
        usual = float(np.quantile(sizes, 0.95))
        limit = max(inspector.least_long, _TIMES * usual)
        for place in np.flatnonzero(sizes > limit).tolist():
            sample = own[place]
            yield Finding(
                kind="too-long",
                split=sample.split,
                index=sample.index,
                id=sample.id,
                text=f"has {sizes[place]:,.4g} {inspector.unit} of {modality}; 95% of all have at "
                f"most {usual:,.4g}",
            )
