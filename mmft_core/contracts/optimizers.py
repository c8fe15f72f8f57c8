"""What optimizers and learning-rate schedules are built with; what they are is torch's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer


@dataclass(frozen=True, kw_only=True)
class OptimizerContext:
    """What an optimizer is built with.

    The optimizer must hold all parameters of the groups, and do without a closure. What its
    `state_dict` holds besides tensors must be plain values, for checkpoints are JSON and
    safetensors; loaded into a new optimizer, it must lead to the same next step bit by bit.

    Attributes:
        groups: parameter groups as torch's optimizers take them: "params", and the peak "lr" and
            "weight_decay" of each. Parameters that are frozen, or not yet trained, get no gradient.
        lr: the peak learning rate, `engine.lr`; groups may have others.
    """

    groups: Sequence[dict[str, Any]]
    lr: float


@dataclass(frozen=True, kw_only=True)
class ScheduleContext:
    """What a schedule is built with.

    The schedule sets the learning rate of each of the optimizer's groups, which is the group's peak
    when the schedule is built. Its `step()` is called without arguments after each of the
    optimizer's.

    Attributes:
        total_steps: optimizer steps of the whole training.
        warmup_steps: of these, for the learning rate to rise from near 0 to its peak
            (`engine.warmup`); a schedule may bring its own.
    """

    optimizer: Optimizer
    total_steps: int
    warmup_steps: int
