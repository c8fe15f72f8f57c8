"""Regression: what all such tasks share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mmft_core.contracts import Batch, Outputs, TargetCodec, Task
from mmft_core.data import finite_number


class NumberCodec(TargetCodec):
    """Numbers, as they are or as they are written."""

    def encode(self, target: Any) -> float:
        number = finite_number(target)
        if number is None:
            raise ValueError(f"its target {target!r} is not a finite number")
        return number

    def collate(self, targets: Sequence[float]) -> Tensor:
        return torch.tensor(targets, dtype=torch.float32)


class Regressor(Task):
    """One number for each sample, however it is found.

    Networks learn the number in standard deviations off the mean, so that losses and learning
    rates do not depend on its unit. Predictions (B,) are in the unit of the target.
    """

    codec: NumberCodec

    def __init__(self, scale: tuple[float, float] | None, huber: float | None = None) -> None:
        """Args:
        scale: mean and standard deviation of the training targets.
        huber: errors beyond so many standard deviations count linearly (Huber, 1964); None for
            the squared error.
        """
        super().__init__()
        mean, deviation = scale or (0.0, 1.0)
        self.mean, self.deviation, self.huber = mean, deviation or 1.0, huber
        self.codec = NumberCodec()

    def outputs_for(self, outputs: Tensor, batch: Batch) -> Outputs:
        """Loss and numbers of outputs (B, 1), which are float32 and standardised."""
        found = outputs.squeeze(-1)
        loss = None
        if batch.targets is not None:
            wanted = (batch.targets - self.mean) / self.deviation
            if self.huber is None:
                loss = F.mse_loss(found, wanted)
            else:
                loss = F.huber_loss(found, wanted, delta=self.huber)
        return Outputs(loss, None if self.training else found * self.deviation + self.mean)

    def decode(self, predictions: Tensor, top_k: int = 1) -> list[dict[str, Any]]:
        """Give each sample {"value": the number}, to seven significant digits."""
        return [{"value": float(f"{value:.7g}")} for value in predictions.double().tolist()]

    def rank(self, predictions: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {"Farthest off": (predictions - targets).abs()}
