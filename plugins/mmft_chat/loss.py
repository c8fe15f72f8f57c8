"""The loss of tokens, without the logits of all of them at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint


def chunked_nats(
    states: Tensor, targets: Tensor, logits: Callable[[Tensor], Tensor], chunk: int
) -> Tensor:
    """The negative log-likelihood (N,) of each target, in nats.

    Logits are computed for so many tokens at a time, and again for the gradients (Chen et al.,
    2016, "Training Deep Nets with Sublinear Memory Cost"), so that of V x N there are V x chunk.

    Args:
        states: (N, D), what each target is predicted from.
        targets: (N,) int64.
        logits: from states (n, D) to logits (n, V).
        chunk: tokens at a time.
    """

    def nats(own: Tensor, wanted: Tensor) -> Tensor:
        return F.cross_entropy(logits(own).float(), wanted, reduction="none")

    if not len(targets):
        return states.sum(-1).float()  # (0,), with a gradient.
    parts = []
    pieces = zip(torch.split(states, chunk), torch.split(targets, chunk), strict=True)
    for own, wanted in pieces:
        if torch.is_grad_enabled():
            parts.append(
                checkpoint(nats, own, wanted, use_reentrant=False, preserve_rng_state=False)
            )
        else:
            parts.append(nats(own, wanted))
    return torch.cat(parts)
