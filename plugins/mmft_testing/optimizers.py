"""Checks of optimizers."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from mmft_core import Component, OptimizerSpec
from mmft_core.contracts import OptimizerContext
from mmft_core.engine import checkpoint
from mmft_core.errors import ConfigError
from mmft_testing.tools import equal, skip_without_extras
from mmft_testing.workbench import Workbench

Spec = Component[OptimizerSpec]

LR = 1e-2


def lowers_a_loss(bench: Workbench, component: Spec) -> None:
    """It holds all parameters of its groups, of any number of dimensions, and learns."""
    network = _network()
    optimizer = _optimizer(component, network)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in network.parameters()}, "it does not hold all parameters"
    first, *_, last = (_step(network, optimizer) for _ in range(20))
    assert last < first, f"in 20 steps the loss went from {first:.3g} to {last:.3g}"


def goes_on_from_a_checkpoint(bench: Workbench, component: Spec) -> None:
    """From a checkpoint it takes the same next step, bit by bit."""
    network, twin = _network(), _network()
    optimizer = _optimizer(component, network)
    for _ in range(3):
        _step(network, optimizer)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(Path(folder), 3, {"optimizer": optimizer.state_dict()})
        state, _ = checkpoint.load_latest(Path(folder))
    twin.load_state_dict(network.state_dict())
    other = _optimizer(component, twin)
    other.load_state_dict(state["optimizer"])
    for _ in range(2):
        _step(network, optimizer)
        _step(twin, other)
    same = equal(dict(network.state_dict()), dict(twin.state_dict()))
    assert same, "after loading its state it takes another step"


def _network() -> nn.Module:
    torch.manual_seed(0)
    convolution = nn.Conv1d(1, 4, 3)
    return nn.Sequential(convolution, nn.Flatten(), nn.LayerNorm(24), nn.Linear(24, 1))


def _optimizer(component: Spec, network: nn.Module) -> Optimizer:
    skip_without_extras(component)
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "lr": LR, "weight_decay": 0.01},
        {"params": [p for p in parameters if p.ndim < 2], "lr": LR / 2, "weight_decay": 0.0},
    ]
    context = OptimizerContext(groups=groups, lr=LR)
    try:
        built = component.build(component.options_type()(), context)
    except ConfigError as error:  # Such as one that needs a GPU.
        pytest.skip(str(error))
    assert isinstance(built, Optimizer), f"it built a {type(built).__name__}, not an Optimizer"
    return built


def _step(network: nn.Module, optimizer: Optimizer) -> float:
    x = torch.linspace(-1, 1, 64).view(8, 1, 8)
    loss = (network(x)[:, 0] - x.mean((1, 2))).square().mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return float(loss)


CHECKS = [lowers_a_loss, goes_on_from_a_checkpoint]
