"""The name that `mmft_core.weights.http` had in mmft 0.1."""

from mmft_core.weights.http import ensure_reachable, is_there

__all__ = ["ensure_reachable", "is_there"]
