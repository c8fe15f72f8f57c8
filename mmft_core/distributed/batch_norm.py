"""Batch norm over the samples of all processes, with the result that one process would get."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmft_core.distributed import comm
from mmft_core.distributed.collectives import summed


def synchronize(module: nn.Module, device: torch.device) -> None:
    """Replace the batch norms within a module that several processes train.

    Weights and their names stay. torch's own is for GPUs alone; on CPUs ours takes its place. Norms
    of other classes, which may do more than normalise, are left as they are.
    """
    if not comm.several():
        return
    made: dict[nn.Module, nn.Module] = {}
    for parent in list(module.modules()):
        for name, norm in list(parent._modules.items()):
            if norm is not None and type(norm) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
                if norm not in made:  # It may have several places.
                    made[norm] = _shared(norm, device)
                setattr(parent, name, made[norm])


def _shared(norm: Any, device: torch.device) -> nn.Module:
    if device.type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(norm)  # type: ignore[no-untyped-call]
        return converted
    shared = SharedBatchNorm(
        norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats
    )
    for name, tensor in (*norm.named_parameters(), *norm.named_buffers()):
        setattr(shared, name, tensor)
    return shared.train(norm.training)


class SharedBatchNorm(_BatchNorm):
    """Batch norm of any number of dimensions whose mean and variance are those of all processes."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass  # It replaces norms of any number of dimensions.

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not torch.is_grad_enabled():
            return super().forward(input)
        mean, variance, count = _moments(input.float())
        self._follow(mean.detach(), variance.detach(), count)
        shape = (1, -1) + (1,) * (input.ndim - 2)
        scale = (variance + self.eps).rsqrt()
        if self.weight is not None:
            scale = scale * self.weight
        shift = -mean * scale if self.bias is None else self.bias - mean * scale
        return (input.float() * scale.view(shape) + shift.view(shape)).to(input.dtype)

    def _follow(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Move the running statistics towards those of the batch."""
        if not self.track_running_stats or self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        momentum = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * (count / (count - 1).clamp(min=1)), momentum)


def _moments(input: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (C,), variance (C,) and number of the values of each channel, on all processes."""
    across = [0, *range(2, input.ndim)]
    number = input.new_full((1,), input.numel() / input.shape[1])
    sums = summed(torch.cat([input.sum(across), number]))
    mean, count = sums[:-1] / sums[-1], sums[-1]
    centred = input - mean.view(1, -1, *(1 for _ in across[1:]))
    squares = summed(centred.square().sum(across))
    return mean, squares / count, count.detach()
