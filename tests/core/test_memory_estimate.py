"""The memory that a dry run expects: counted by hand, and as computed steps hold it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint

from mmft_core import discover
from mmft_core.config.plan import Plan
from mmft_core.config.resolving import make_plan
from mmft_core.config.trees import nest
from mmft_core.engine import memory_estimate
from mmft_core.engine.described import Described
from mmft_core.run.build import build_dataset, build_task
from mmft_core.run.expected_memory import expected_memory
from tests.conftest import Finished, run_arguments

CPU = torch.device("cpu")
Mmft = Callable[..., Finished]
pytestmark = pytest.mark.usefixtures("tiny_backbone")


class Chosen(nn.Module):
    """Loses rows by a mask and looks up others, recomputes a layer, and ends in a loss."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 16)
        self.inner = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 16))
        self.head = nn.Linear(16, 50, bias=False)
        self.head.weight = self.words.weight

    def forward(self, tokens: Tensor, kept: Tensor) -> Tensor:
        states = checkpoint(self.inner, self.words(tokens), use_reentrant=False)
        if kept.any():  # Which depends on integers, and so is known.
            states, tokens = states[kept], tokens[kept]
        return F.cross_entropy(self.head(states), tokens)


@pytest.mark.parametrize("bf16", [False, True])
def test_a_described_step_holds_what_a_computed_one_holds(bf16: bool) -> None:
    tokens = torch.arange(40).view(4, 10)
    found = []
    for computed in (False, True):
        torch.manual_seed(0)
        network, mode = Chosen(), Described(computed=computed)
        mode.move(network, CPU)
        weights = mode.held
        with mode:
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = network(mode.like(tokens, CPU), mode.like(tokens % 3 > 0, CPU))
            after_forward = mode.held
            loss.backward()
        del loss
        found.append((weights, after_forward, mode.peak, mode.held))
    assert found[0] == found[1]
    assert found[0][0] == 4 * (50 * 16 + 16 * 64 + 64 + 64 * 16 + 16), "tied weights count once"


def test_what_a_forward_pass_keeps_is_counted_by_hand() -> None:
    network, mode = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4)), Described()
    mode.move(network, CPU)
    with mode:
        loss = network(mode.like(torch.zeros(10, 8), CPU)).sum()
    weights = 8 * 32 + 32 + 32 * 4 + 4
    assert mode.held == 4 * (weights + 10 * 8 + 10 * 32 + 1), "its input, ReLU's output, the loss"
    assert loss.shape == ()


def plan(**settings: Any) -> Plan:
    given = {
        "task.name": "image-cls",
        "backbone.image.name": "tiny",
        "backbone.image.weights": "none",
        "engine.precision": "fp32",
        "engine.device": "cpu",
    }
    return make_plan(nest({**given, **settings}), discover())


@pytest.mark.parametrize("tune", ["full", "last=1", "head", "lora"])
def test_the_parts_of_a_run_are_counted_by_hand(tune: str) -> None:
    run = plan(**{"engine.tune": tune})
    found = expected_memory(run)
    if (
        tune == "lora"
    ):  # Of weights that are not kept with the run, too, though they have no values.
        apart = plan(**{"engine.tune": tune, "engine.lora.save": "adapter"})
        alone = expected_memory(apart)
        assert alone.gradients == found.gradients
        assert alone.best < found.best / 2, "the base is not saved"
    task = build_task(run, build_dataset(run), lambda text: None).train()
    from mmft_core.engine import tuning

    tuning.apply(task, run.engine.tuning, 0)
    trained = [p for p in task.parameters() if p.requires_grad]
    held = [*task.parameters(), *task.buffers()]
    assert found.weights == sum(t.numel() * t.element_size() for t in held)
    assert found.gradients == sum(4 * p.numel() for p in trained)
    assert found.optimizer == 2 * found.gradients + 4 * len(trained), "two moments, and the step"
    assert found.best == found.weights, "of what is saved, adapters included"
    step = found.gradients + found.optimizer + found.batch + found.activations
    assert 0.4 * step < found.allocator < 0.75 * step, "as was measured"
    assert found.total == sum(found.parts.values())
    assert found.batch >= 3 * 32 * 32 * found.samples, "bytes of pixels"


def test_more_is_held_with_an_average_and_with_larger_batches() -> None:
    plain, twice = expected_memory(plan()), expected_memory(plan(**{"engine.batch_size": 64}))
    assert expected_memory(plan(**{"engine.ema": 0.9})).weights == 2 * plain.weights
    assert plain.activations * 1.5 < twice.activations < plain.activations * 2.5
    assert twice.gradients == plain.gradients


def test_a_network_that_looks_at_its_numbers_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.faults.tiny_net import TinyNet

    described = expected_memory(plan())
    encode = TinyNet.encode

    def looking(self: Any, inputs: Any) -> Any:
        features = encode(self, inputs)
        assert float(features.pooled.detach().abs().max()) >= 0
        return features

    monkeypatch.setattr(TinyNet, "encode", looking)
    before = torch.get_rng_state()
    computed = expected_memory(plan())
    assert torch.equal(torch.get_rng_state(), before)
    assert replace(computed, program=0) == replace(described, program=0)
    monkeypatch.setattr(memory_estimate, "_MANY", 10**9)  # Too large to be computed.
    with pytest.raises(RuntimeError):
        expected_memory(plan())


def test_a_dry_run_tells_it_and_what_saves_memory(
    mmft: Mmft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = run_arguments(tmp_path / "run", "--dry-run", backbone="tiny")
    told = mmft(*arguments)
    assert told.code == 0 and "Memory" not in told.out
    total = re.search(
        r"# Peak memory: about ([\d,.]+ .B) of the .* \(batch of \d+ samples", told.err
    )
    assert total is not None and "weights 0.0 MB, gradients 0.0 MB" in told.err
    assert "FIT" not in told.err
    monkeypatch.setattr(memory_estimate, "available_bytes", lambda device: 10**6)
    told = mmft(*arguments)
    assert told.code == 0
    assert "of the 1.0 MB on this machine" in told.err
    assert "This does not fit. To save memory, use a smaller --batch-size" in told.err
    assert "or --tune lora." in told.err


def test_a_dry_run_without_an_estimate_says_why(
    mmft: Mmft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.faults.tiny_net import TinyNet

    def broken(self: Any, inputs: Any) -> Any:
        raise KeyError("pixels of another kind")

    monkeypatch.setattr(TinyNet, "encode", broken)
    told = mmft(*run_arguments(tmp_path / "run", "--dry-run", backbone="tiny"))
    assert told.code == 0
    assert "The memory of the run cannot be estimated: " in told.err
    assert "pixels of another kind" in told.err
