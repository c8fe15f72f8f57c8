"""Optimizer, learning-rate schedule and precision, from the engine's configuration."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from mmft_core.contracts import Task
from mmft_core.planning.config import EngineConfig
from mmft_core.planning.tuning_choice import Tunings
from mmft_core.training.tuning import parameter_groups


def build_optimizer(task: Task, config: EngineConfig) -> Optimizer:
    """Make the optimizer over all parameters; those that are frozen get no gradient."""
    groups = parameter_groups(
        task, config.lr, config.weight_decay, config.layer_decay, config.fresh_lr
    )
    if config.optimizer == "sgd":
        # The fused one knows no shards, and no momentum that sets in later.
        plain = config.parallel == "fsdp" or Tunings.parse(config.tune).changes
        return SGD(groups, lr=config.lr, momentum=0.9, nesterov=True, fused=not plain)
    kind = AdamW if config.optimizer == "adamw" else Adam
    return kind(groups, lr=config.lr, fused=True)


def build_schedule(optimizer: Optimizer, config: EngineConfig, total_steps: int) -> LambdaLR:
    """Make the schedule: every group's rate is its own peak times one factor of the step."""
    return LambdaLR(optimizer, lr_factor(config.schedule, config.warmup, total_steps))


def current_lr(schedule: LambdaLR, config: EngineConfig) -> float:
    """What has become of `engine.lr`; groups of parameters may have rates of their own beside."""
    factor = schedule.get_last_lr()[0] / schedule.base_lrs[0]
    return float(config.lr * factor)


def lr_factor(schedule: str, warmup: float, total_steps: int) -> Callable[[int], float]:
    """Return the factor on the peak learning rate at each step.

    "one-cycle" rises from 1/25 over 30% of the steps and falls to 1e-4 of that, both along half a
    cosine (Smith and Topin, 2018, "Super-Convergence"); it brings its own warm-up. The others rise
    linearly over the warm-up, then fall along half a cosine or a line to 0, or stay.
    """
    warmup_steps = round(warmup * total_steps)

    def one_cycle(step: int) -> float:
        top = max(1.0, 0.3 * total_steps)
        if step < top:
            return _half_cosine(1 / 25, 1.0, step / top)
        return _half_cosine(1.0, 1e-4 / 25, (step - top) / max(1.0, total_steps - top))

    def warmed(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        done = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
        return {
            "cosine": _half_cosine(1.0, 0.0, done),
            "linear": 1.0 - done,
            "constant": 1.0,
        }[schedule]

    return one_cycle if schedule == "one-cycle" else warmed


def _half_cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, done))) / 2
