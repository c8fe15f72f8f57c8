"""The similarity of the profiles of inputs."""

from __future__ import annotations

import numpy as np

from mmft_core.contracts import Bytes, Floats


def correlation(one: Bytes, others: Bytes) -> Floats:
    """Pearson's correlation of a profile (P,) with others (n, P): (n,)."""
    mine = one.astype(np.float32) - one.mean()
    theirs = others.astype(np.float32) - others.mean(1, keepdims=True, dtype=np.float32)
    scale = np.linalg.norm(mine) * np.linalg.norm(theirs, axis=1)
    found: Floats = (theirs @ mine / np.maximum(scale, 1e-6)).astype(np.float32)
    return found
