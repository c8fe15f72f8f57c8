"""Batch norm for a forward pass with one value per channel, which has no statistics.

This happens when one sample's feature map is a single pixel: with a batch size of 1, or if the
samples of an epoch cannot be divided otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmft_core.distributed.batch_norm import SharedBatchNorm
from mmft_core.errors import TrainingError


def use_running_statistics(module: nn.Module, say: Callable[[str], None]) -> None:
    """Let batch norms in training normalise such passes with their running statistics, as in
    evaluation, without changing them. torch would refuse them.

    Norms that synchronize over several processes also see the values of the others.

    Args:
        say: called with a message the first time.
    """
    lone: set[nn.Module] = set()
    told = False

    def enter(norm: nn.Module, inputs: tuple[Any, ...]) -> None:
        nonlocal told
        if not norm.training or inputs[0].numel() != inputs[0].shape[1]:
            return
        if getattr(norm, "running_mean", None) is None:
            raise TrainingError(
                "A forward pass contains a single sample, which a batch norm without running "
                "statistics cannot normalise.",
                hint="Give --batch-size 2 or more.",
            )
        lone.add(norm)
        norm.training = False
        if not told:
            told = True
            say(
                "Some forward passes contain a single sample. Batch norms see one value per "
                "channel there and use their running statistics. --batch-size 2 or more avoids "
                "this."
            )

    def leave(norm: nn.Module, *_: Any) -> None:
        if norm in lone:
            lone.remove(norm)
            norm.training = True

    for norm in module.modules():
        if isinstance(norm, _BatchNorm) and not isinstance(
            norm, nn.SyncBatchNorm | SharedBatchNorm
        ):
            norm.register_forward_pre_hook(enter)
            norm.register_forward_hook(leave, always_call=True)
