"""The contexts of optimizers and learning-rate schedules, which are torch's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer


@dataclass(frozen=True, kw_only=True)
class OptimizerContext:
    """What an optimizer is built with.

    The optimizer must contain all parameters of the groups and work without a closure. Besides
    tensors, its `state_dict` may only contain plain values, because checkpoints are JSON and
    safetensors. Loaded into a new optimizer, it must lead to the same next step, bit by bit.

    Attributes:
        groups: parameter groups as torch's optimizers take them: "params", and the peak "lr" and
            "weight_decay" of each. Parameters that are frozen or not yet trained have no gradient.
        lr: the peak learning rate, `engine.lr`; groups may differ.
    """

    groups: Sequence[dict[str, Any]]
    lr: float


@dataclass(frozen=True, kw_only=True)
class ScheduleContext:
    """What a schedule is built with.

    The schedule sets the learning rate of each group of the optimizer. When the schedule is built,
    this is the group's peak rate. `step()` is called without arguments after each optimizer step.

    Attributes:
        total_steps: optimizer steps of the whole training.
        warmup_steps: the steps in which the learning rate rises from near 0 to its peak
            (`engine.warmup`); a schedule may use its own warm-up instead.
    """

    optimizer: Optimizer
    total_steps: int
    warmup_steps: int
