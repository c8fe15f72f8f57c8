"""The loss of tokens, without the logits of all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
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


def mean_nats(
    states: Tensor,
    targets: Tensor,
    logits: Callable[[Tensor], Tensor],
    chunk: int,
    weights: Sequence[nn.Parameter],
) -> Tensor:
    """The mean of `chunked_nats` (scalar), with three matrix products instead of four.

    Since all tokens count alike, the gradients are computed with the loss, chunk by chunk, and no
    logits are computed twice (Hsu et al., 2024, "Liger Kernel").

    Args:
        weights: those that `logits` depends on and that are trained.
    """
    plain = not states.requires_grad or not torch.is_grad_enabled() or not len(targets)
    if plain or torch.compiler.is_compiling() or _in_fp16(states.device.type):
        return chunked_nats(states, targets, logits, chunk).sum() / max(1, len(targets))
    mean: Tensor = _MeanNats.apply(logits, chunk, targets, states, *weights)
    return mean


def _in_fp16(device: str) -> bool:
    """Whether losses are scaled later, before which gradients of fp16 would vanish."""
    half = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device)
    return half == torch.float16


class _MeanNats(torch.autograd.Function):
    """The mean loss, whose gradients are known before the backward pass begins."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Callable[[Tensor], Tensor],
        chunk: int,
        targets: Tensor,
        states: Tensor,
        *weights: Tensor,
    ) -> Tensor:
        total = torch.zeros((), device=states.device)
        of_states, of_weights = torch.empty_like(states), list[Tensor]()
        for start in range(0, len(targets), chunk):
            here = slice(start, start + chunk)
            with torch.enable_grad():
                own = states[here].detach().requires_grad_()
                loss = F.cross_entropy(logits(own).float(), targets[here], reduction="sum")
                loss = loss / len(targets)
            found = torch.autograd.grad(loss, (own, *weights), materialize_grads=True)
            of_states[here] = found[0]
            if start:
                for so_far, more in zip(of_weights, found[1:], strict=True):
                    so_far += more
            else:
                of_weights = list(found[1:])
            total += loss.detach()
        ctx.gradients = (of_states, *of_weights)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        if ctx.gradients is None:
            raise RuntimeError("The gradients of this loss were used already.")
        gradients, ctx.gradients = ctx.gradients, None
        return (None, None, None, *(own.mul_(gradient) for own in gradients))
