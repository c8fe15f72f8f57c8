"""The name in mmft 0.1 of `mmft_core.weights.http`."""

from mmft_core.weights.http import ensure_reachable, is_there

__all__ = ["ensure_reachable", "is_there"]
