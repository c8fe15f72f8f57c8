"""The losses of recent steps, read from the device together."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmft_core.distributed import comm
from mmft_core.errors import NonFiniteLossError


class Losses:
    """Losses that have not been read yet; reading waits for a GPU to catch up."""

    def __init__(self) -> None:
        self._pending: list[tuple[int, Tensor, list[str]]] = []

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, step: int, loss: Tensor, ids: list[str]) -> None:
        """Add the loss and the samples of a step."""
        self._pending.append((step, loss, ids))

    def take(self) -> tuple[int, float]:
        """Read all of them, on all processes: the last step, and the mean.

        Raises:
            NonFiniteLossError: one is NaN or infinite.
        """
        own = torch.stack([loss for _, loss, _ in self._pending]).tolist()
        values = [sum(losses) / len(losses) for losses in zip(*comm.gather(own), strict=True)]
        for (step, _, ids), value in zip(self._pending, values, strict=True):
            if not math.isfinite(value):
                everyone = comm.gather(ids)
                raise NonFiniteLossError(step, value, [i for others in everyone for i in others])
        last = self._pending[-1][0]
        self._pending.clear()
        return last, sum(values) / len(values)
