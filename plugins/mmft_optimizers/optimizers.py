"""The optimizers: torch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import SGD, Adafactor, Adam, AdamW, Optimizer

from mmft_core.contracts import OptimizerContext
from mmft_optimizers.options import AdafactorOptions, AdamOptions, MuonOptions, SgdOptions


def adamw(options: AdamOptions, context: OptimizerContext) -> Optimizer:
    return AdamW(context.groups, lr=context.lr, fused=True, **vars(options))


def adam(options: AdamOptions, context: OptimizerContext) -> Optimizer:
    return Adam(context.groups, lr=context.lr, fused=True, **vars(options))


def sgd(options: SgdOptions, context: OptimizerContext) -> Optimizer:
    # Not the fused one, which knows no shards, and no parameters that are unfrozen later.
    nesterov = options.nesterov and options.momentum > 0
    return SGD(context.groups, lr=context.lr, momentum=options.momentum, nesterov=nesterov)


def adafactor(options: AdafactorOptions, context: OptimizerContext) -> Optimizer:
    """Shazeer and Stern (2018), "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost"."""
    return Adafactor(
        context.groups,
        lr=context.lr,
        beta2_decay=options.beta2_decay,
        d=options.clip_threshold,
    )


class Muon(Optimizer):
    """torch's Muon for matrices, and AdamW for everything else, as one optimizer.

    Updates of matrices are scaled to the size of AdamW's, so one learning rate and one weight decay
    serve both (Liu et al., 2025, "Muon is Scalable for LLM Training").
    """

    def __init__(self, options: MuonOptions, context: OptimizerContext) -> None:
        groups = []
        for group in context.groups:
            for matrices in (True, False):
                own = [p for p in group["params"] if (p.ndim == 2) is matrices]
                if own:
                    groups.append({**group, "params": own, "matrices": matrices})
        super().__init__(groups, {"lr": context.lr})
        self._of_matrices = _inner(
            [g for g in self.param_groups if g["matrices"]],
            lambda own: torch.optim.Muon(
                own,
                lr=context.lr,
                momentum=options.momentum,
                nesterov=options.nesterov,
                adjust_lr_fn="match_rms_adamw",
            ),
        )
        self._of_others = _inner(
            [g for g in self.param_groups if not g["matrices"]],
            lambda own: AdamW(own, lr=context.lr, betas=options.betas, eps=options.eps, fused=True),
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for inner, matrices in ((self._of_matrices, True), (self._of_others, False)):
            if inner is not None:
                # Loading a state makes new groups, and a new state.
                inner.param_groups = [g for g in self.param_groups if g["matrices"] is matrices]
                inner.state = self.state
                inner.step()


def _inner(
    groups: list[dict[str, Any]], make: Callable[[list[dict[str, Any]]], Optimizer]
) -> Optimizer | None:
    """An optimizer of some of the groups, to which it adds its own defaults."""
    return make(groups) if groups else None
