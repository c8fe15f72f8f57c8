"""Which of a dataset's samples the kit tries components with: few, so that checks are quick."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from mmft_core.contracts import Split
from mmft_core.data import Subset

ENOUGH = 300
"""So many training samples a backbone is shown; some train a tokenizer on them, at each build."""


def spread(split: Split) -> Split:
    """Samples from all over a split, so that all classes and letters are likely to be there."""
    count = min(ENOUGH, len(split))
    return Subset(split, np.linspace(0, len(split), count, endpoint=False, dtype=np.int64))


def ordinary(split: Split, count: int) -> Split:
    """The first samples of a split that are no larger than most: a few long ones would take most
    of the time and show nothing else."""
    sizes = split.sizes()
    if sizes is None:
        return Subset(split, np.arange(min(count, len(split))))
    return Subset(split, np.flatnonzero(np.asarray(sizes) <= np.median(sizes))[:count])


def rolled(tree: Any, by: int) -> Any:
    """Targets of which every sample has one of its neighbours'."""
    if isinstance(tree, torch.Tensor):
        return tree.roll(by, 0)
    if isinstance(tree, Mapping):
        return {key: rolled(value, by) for key, value in tree.items()}
    return [tree[(i - by) % len(tree)] for i in range(len(tree))]
