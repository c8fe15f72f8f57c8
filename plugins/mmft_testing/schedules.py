"""Checks of learning-rate schedules."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import torch
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from mmft_core import Component, ScheduleSpec
from mmft_core.contracts import ScheduleContext
from mmft_core.engine import checkpoint
from mmft_testing.tools import skip_without_extras
from mmft_testing.workbench import Workbench

Spec = Component[ScheduleSpec]

STEPS = 20
PEAKS = (0.1, 0.01)


def sets_every_rate(bench: Workbench, component: Spec) -> None:
    """Of short trainings and of long ones: each group's rate is a share of the group's peak."""
    for steps in (1, 2, STEPS):
        optimizer, schedule = _built(component, steps)
        for step in range(steps):
            shares = [
                group["lr"] / peak
                for group, peak in zip(optimizer.param_groups, PEAKS, strict=True)
            ]
            finite = all(math.isfinite(share) and share >= 0 for share in shares)
            assert finite, f"at step {step} of {steps} the learning rate is {shares[0]} of its peak"
            same = math.isclose(*shares, rel_tol=1e-6, abs_tol=1e-9)
            assert same, f"at step {step} of {steps}, groups have {shares} of their peaks"
            optimizer.step()
            schedule.step()


def goes_on_from_a_checkpoint(bench: Workbench, component: Spec) -> None:
    """From a checkpoint the rates are those of a training that was not interrupted."""
    optimizer, schedule = _built(component, STEPS)
    for _ in range(STEPS // 2):
        optimizer.step()
        schedule.step()
    state = {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(Path(folder), 1, state)
        state, _ = checkpoint.load_latest(Path(folder))
    twin, other = _built(component, STEPS)
    twin.load_state_dict(state["optimizer"])
    other.load_state_dict(state["schedule"])
    for step in range(STEPS // 2, STEPS):
        rates, others = ([g["lr"] for g in o.param_groups] for o in (optimizer, twin))
        assert rates == others, f"at step {step} the learning rates are {others}, not {rates}"
        for each, its in ((optimizer, schedule), (twin, other)):
            each.step()
            its.step()


def _built(component: Spec, steps: int) -> tuple[Optimizer, LRScheduler]:
    skip_without_extras(component)
    groups = [{"params": [torch.nn.Parameter(torch.ones(2))], "lr": peak} for peak in PEAKS]
    optimizer = SGD(groups, lr=PEAKS[0])
    warmup = round(steps / 10)
    context = ScheduleContext(optimizer=optimizer, total_steps=steps, warmup_steps=warmup)
    built = component.build(component.options_type()(), context)
    assert isinstance(built, LRScheduler), f"it built a {type(built).__name__}, not an LRScheduler"
    return optimizer, built


CHECKS = [sets_every_rate, goes_on_from_a_checkpoint]
