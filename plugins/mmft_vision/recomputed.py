"""Gradient checkpointing of sequences of blocks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


class Recomputed(nn.Sequential):
    """Keeps only each block's input for the gradients, and computes what is inside again.

    Blocks are its modules; a plain sequence among them consists of blocks itself. Random draws are
    repeated, and norms take in a batch's statistics once (Chen et al., 2016, "Training
    Deep Nets with Sublinear Memory Cost").
    """

    def forward(self, x: Tensor) -> Tensor:
        again = self.training and torch.is_grad_enabled()
        for block in _blocks(self):
            if again:
                contexts = partial(_contexts, block)
                x = checkpoint(block, x, use_reentrant=False, context_fn=contexts)
            else:
                x = block(x)
        return x


def recompute(network: nn.Module, names: tuple[str, ...]) -> None:
    """Replace the sequences of these names; the names of their modules stay."""
    for name in names:
        parent, _, child = name.rpartition(".")
        sequence = network.get_submodule(name)
        again = Recomputed()
        for key, block in sequence.named_children():
            again.add_module(key, block)
        setattr(network.get_submodule(parent), child, again.train(sequence.training))


def count_once(network: nn.Module) -> None:
    """Let batch norms take in a batch's statistics once in a network that recomputes by itself."""
    for norm in network.modules():
        if isinstance(norm, _BatchNorm):
            kept = _KeptInBackward()
            norm.register_forward_pre_hook(kept.enter)
            norm.register_forward_hook(kept.leave, always_call=True)


class _KeptInBackward:
    """Keeps one norm's statistics unchanged while a backward pass computes it again."""

    def __init__(self) -> None:
        self.keeping: contextlib.AbstractContextManager[None] | None = None

    def enter(self, norm: nn.Module, _: object) -> None:
        if torch._C._current_graph_task_id() != -1:  # As torch.utils.module_tracker does.
            self.keeping = _statistics_kept(norm)
            self.keeping.__enter__()

    def leave(self, *_: object) -> None:
        if self.keeping is not None:
            self.keeping.__exit__(None, None, None)
            self.keeping = None


def _blocks(sequence: nn.Module) -> Iterator[nn.Module]:
    for block in sequence.children():
        if type(block) is nn.Sequential:
            yield from _blocks(block)
        else:
            yield block


def _contexts(
    block: nn.Module,
) -> tuple[contextlib.AbstractContextManager[None], contextlib.AbstractContextManager[None]]:
    """The context managers for a block's forward pass and for its recomputation."""
    return contextlib.nullcontext(), _statistics_kept(block)


@contextlib.contextmanager
def _statistics_kept(block: nn.Module) -> Iterator[None]:
    """Let batch norms normalise by the batch without updating their averages."""
    norms = [m for m in block.modules() if isinstance(m, _BatchNorm) and m.training]
    settings = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, settings, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches
