"""The schedules: each a factor of the step, by which every group's peak rate is multiplied.

They are torch's `LambdaLR`, whose state is the step alone. transformers' warm-ups spend the first
step at a rate of 0; these begin above it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch.optim.lr_scheduler import LambdaLR

from mmft_core import NoOptions
from mmft_core.contracts import ScheduleContext
from mmft_optimizers.options import DecayOptions, OneCycleOptions, StableOptions


def cosine(options: DecayOptions, context: ScheduleContext) -> LambdaLR:
    """Loshchilov and Hutter (2017), "SGDR", without restarts."""
    return _warmed(context, lambda done: _half_cosine(1.0, options.final, done))


def linear(options: DecayOptions, context: ScheduleContext) -> LambdaLR:
    return _warmed(context, lambda done: 1.0 - (1.0 - options.final) * done)


def constant(options: NoOptions, context: ScheduleContext) -> LambdaLR:
    return _warmed(context, lambda done: 1.0)


def warmup_stable_decay(options: StableOptions, context: ScheduleContext) -> LambdaLR:
    """Hu et al. (2024), "MiniCPM"."""
    after = max(1, context.total_steps - context.warmup_steps)
    share = min(1.0, options.decay * context.total_steps / after)

    def course(done: float) -> float:
        falling = max(0.0, (done - (1 - share)) / share)
        return 1.0 - (1.0 - options.final) * falling

    return _warmed(context, course)


def one_cycle(options: OneCycleOptions, context: ScheduleContext) -> LambdaLR:
    """Smith and Topin (2018), "Super-Convergence". It brings its own warm-up."""
    total = context.total_steps
    top = max(1.0, options.rise * total)

    def factor(step: int) -> float:
        if step < top:
            return _half_cosine(options.start, 1.0, step / top)
        return _half_cosine(1.0, options.final, (step - top) / max(1.0, total - top))

    return LambdaLR(context.optimizer, factor)


def _warmed(context: ScheduleContext, course: Callable[[float], float]) -> LambdaLR:
    """A linear rise over the warm-up, then a course over what is left, from 0 to 1."""
    total, warmup = context.total_steps, context.warmup_steps

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return course(min(1.0, (step - warmup) / max(1, total - warmup)))

    return LambdaLR(context.optimizer, factor)


def _half_cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, done))) / 2
