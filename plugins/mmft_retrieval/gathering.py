"""What other processes hold of a batch."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_gather


def gathered(*tensors: Tensor) -> tuple[list[Tensor], int]:
    """The rows of all processes, in training; gradients flow to where rows are from.

    In evaluation processes need not have equally many batches, so nobody waits for the others.

    Args:
        tensors: (B, ...), whose B may differ from process to process.

    Returns:
        each with all rows, and the place of this process's first one.
    """
    several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
    if not several or not torch.is_grad_enabled():
        return list(tensors), 0
    mine = torch.tensor(len(tensors[0]), device=tensors[0].device)
    sizes = [torch.zeros_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, mine)
    counts = [int(size) for size in sizes]
    start = sum(counts[: dist.get_rank()])
    return [_rows_of_all(tensor, counts) for tensor in tensors], start


def _rows_of_all(tensor: Tensor, counts: list[int]) -> Tensor:
    padded = tensor.new_zeros(max(counts), *tensor.shape[1:])
    padded = padded.index_put((torch.arange(len(tensor), device=tensor.device),), tensor)
    if tensor.requires_grad:
        everyone = list(all_gather(padded))  # type: ignore[no-untyped-call]
    else:
        everyone = [torch.zeros_like(padded) for _ in counts]
        dist.all_gather(everyone, padded)
    return torch.cat([rows[:n] for rows, n in zip(everyone, counts, strict=True)])
