"""Operations on the tensors of all processes, with gradients."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributed.nn.functional import all_reduce

from mmft_core.distributed import comm


def summed(tensor: Tensor) -> Tensor:
    """The sum over all processes, whose gradient is the sum of those of all processes."""
    if not comm.several():
        return tensor
    whole: Tensor = all_reduce(tensor)  # type: ignore[no-untyped-call]
    return whole


def gathered(*tensors: Tensor) -> tuple[list[Tensor], int]:
    """The rows of all processes, in training.

    In evaluation, where processes may have different numbers of batches, only its own rows.

    Args:
        tensors: (B, ...), whose B may differ from process to process.

    Returns:
        each with all rows, and the place of this process's first one.
    """
    if not comm.several() or not torch.is_grad_enabled():
        return list(tensors), 0
    counts = comm.gather(len(tensors[0]))
    start = sum(counts[: comm.rank()])
    own = slice(start, start + len(tensors[0]))

    def placed(tensor: Tensor) -> Tensor:
        rows = tensor.new_zeros(sum(counts), *tensor.shape[1:])
        rows[own] = tensor
        return summed(rows)

    return [placed(tensor) for tensor in tensors], start
