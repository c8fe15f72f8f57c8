"""Connectionist temporal classification (Graves et al., 2006)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def ctc_losses(
    logits: Tensor, mask: Tensor, targets: Tensor, lengths: Tensor, blank: int
) -> Tensor:
    """The negative log-likelihood (B,) in nats of labels, whenever each of them is said.

    Args:
        logits: (B, T, V) of the labels at each moment.
        mask: (B, T) bool, the moments of each recording.
        targets: (B, L) labels; below 0 for padding.
        lengths: (B,) of the targets.
        blank: the label that says nothing.
    """
    with torch.autocast(logits.device.type, enabled=False):
        return F.ctc_loss(
            logits.float().log_softmax(-1).transpose(0, 1),
            targets.clamp(min=0),
            mask.sum(1),
            lengths,
            blank=blank,
            reduction="none",
            # Labels that are more than there are moments have no path.
            zero_infinity=True,
        )
