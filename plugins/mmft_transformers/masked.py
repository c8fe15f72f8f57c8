"""Means and losses that pass over padding."""

from __future__ import annotations

from torch import Tensor

from mmft_core.contracts import PADDING
from mmft_core.contracts import masked_mean as masked_mean


def cross_entropies(logits: Tensor, targets: Tensor) -> Tensor:
    """The losses (B, T) in nats of targets (B, T) by logits (B, T, V); 0 at `PADDING`."""
    given = targets != PADDING
    # As torch's own, digit by digit, which does not become ONNX where sizes are any.
    chosen = logits.log_softmax(2).gather(2, targets.where(given, 0).unsqueeze(2)).squeeze(2)
    return chosen.neg().where(given, 0)
