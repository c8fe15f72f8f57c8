"""An optimizer and a schedule that an outside package adds, used by name; and broken ones."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mmft_core.contracts import OptimizerContext
from mmft_core.errors import ConfigError
from mmft_optimizers import bits
from mmft_optimizers.options import BitsAdamOptions
from tests.conftest import Finished
from tests.core.conftest import Site

Mmft = Callable[..., Finished]

HOOKS = """
    from mmft_core import OptimizerSpec, ScheduleSpec, hookimpl

    @hookimpl
    def register_optimizer():
        return [
            OptimizerSpec(
                name="sign-sgd",
                summary="Steps of one size",
                build="acme_work:SignSgd",
                options="acme_options:SignOptions",
            )
        ]

    @hookimpl
    def register_schedule():
        return [ScheduleSpec(name="halving", summary="Halves", build="acme_work:halving")]
"""
OPTIONS = """
    from dataclasses import dataclass
    from typing import Annotated
    from msgspec import Meta

    @dataclass(frozen=True, kw_only=True)
    class SignOptions:
        inertia: Annotated[float, Meta(ge=0, lt=1, description="Of the last step.")] = 0.0
"""
WORK = """
    import torch
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import StepLR

    class SignSgd(Optimizer):
        def __init__(self, options, context):
            super().__init__(context.groups, {"lr": context.lr, "inertia": options.inertia})

        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in (p for p in group["params"] if p.grad is not None):
                    last = self.state[p].setdefault("last", torch.zeros_like(p))
                    last.mul_(group["inertia"]).add_(p.grad.sign())
                    p.add_(last, alpha=-group["lr"])

    def halving(options, context):
        return StepLR(context.optimizer, step_size=1, gamma=0.5)
"""
RUN = (
    *("run", "--task=image-cls", "--backbone=tiny", "--weights=none", "--lr=0.01"),
    *("--set=engine.steps=3", "--set=engine.workers=0", "--set=backbone.image_size=32"),
    *("--set=engine.log_every=1", "--set=engine.device=cpu"),
)


def install(site: Site, work: str = WORK) -> None:
    modules = {"acme": HOOKS, "acme_options": OPTIONS, "acme_work": work}
    site.install("mmft-acme", {"acme": "acme"}, **modules)


@pytest.mark.usefixtures("tiny_backbone")
def test_they_are_used_by_name(site: Site, mmft: Mmft, tmp_path: Path) -> None:
    install(site)
    listed = mmft("plugins", "--kind", "optimizer").out
    assert {line.split()[1] for line in listed.splitlines()[1:]} >= {"sign-sgd", "adamw", "muon"}
    assert "optimizer.inertia=0.0" in mmft("plugins", "show", "sign-sgd").out
    chosen = ("--set=optimizer=sign-sgd", "--set=optimizer.inertia=0.5")
    ended = mmft(*RUN, *chosen, "--set=engine.schedule=acme/halving", "-o", tmp_path / "run")
    assert ended.code == 0, ended.err
    steps = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    rates = [step["lr"] for step in steps if "lr" in step]
    assert rates == pytest.approx([0.01, 0.005, 0.0025])
    config = tomllib.loads((tmp_path / "run/config.toml").read_text())
    assert config["engine"]["optimizer"] == "sign-sgd"
    assert config["optimizer"] == {"inertia": 0.5}
    assert mmft("eval", tmp_path / "run").code == 0


@pytest.mark.usefixtures("tiny_backbone")
@pytest.mark.parametrize(
    ("work", "words"),
    [
        ("raise RuntimeError('oh')", "cannot be loaded: RuntimeError: oh"),
        ("def SignSgd(*_): return 1\nhalving = None", "'acme/sign-sgd' built an int, not a torch"),
        (
            WORK.replace("(context.groups,", "(context.groups[:1],"),
            "'acme/sign-sgd' holds 3 of 8 parameters",
        ),
        (WORK.replace("step_size=1", "step=1"), "'acme/halving' cannot be built: TypeError: "),
        (WORK.replace("return StepLR", "StepLR"), "'acme/halving' built nothing, not a torch"),
    ],
)
def test_broken_ones_are_told_and_disturb_no_others(
    site: Site, mmft: Mmft, tmp_path: Path, work: str, words: str
) -> None:
    install(site, work)
    chosen = ("--set=engine.optimizer=sign-sgd", "--set=engine.schedule=halving")
    ended = mmft(*RUN, *chosen, "-o", tmp_path / "run")
    assert ended.code == 2 and words in " ".join(ended.err.split()), ended.err
    assert "Traceback" not in ended.err and not (tmp_path / "run").exists()
    assert mmft(*RUN, "--dry-run").code == 0


@pytest.mark.usefixtures("tiny_backbone")
def test_settings_by_their_former_names_are_told_once_and_kept_by_the_new_ones(
    mmft: Mmft, tmp_path: Path
) -> None:
    former = ("--set=engine.accumulate=2", "--set=engine.fresh_lr=0.02")
    ended = mmft(*RUN, *former, "-o", tmp_path / "run")
    told = [line for line in ended.err.splitlines() if "is now called" in line]
    assert told == [
        "! engine.accumulate is now called engine.gradient_accumulation_steps.",
        "! engine.fresh_lr is now called engine.head_lr.",
    ]
    file = tmp_path / "run/config.toml"
    written = file.read_text()
    assert tomllib.loads(written)["engine"]["head_lr"] == 0.02
    file.write_text(written.replace("gradient_accumulation_steps", "accumulate"))
    ended = mmft("eval", tmp_path / "run")
    assert ended.code == 0 and "is now called" not in ended.err, ended.err


def test_a_name_that_nobody_offers_and_a_wrong_option_are_told(mmft: Mmft) -> None:
    ended = mmft(*RUN, "--set=engine.optimizer=adamv", "--dry-run")
    assert ended.code == 2
    assert "There is no optimizer named 'adamv'. Did you mean 'adam'" in ended.err
    ended = mmft(*RUN, "--set=optimizer.beta=1", "--dry-run")
    assert ended.code == 2 and "no option 'optimizer.beta'. Did you mean 'betas'?" in ended.err


@pytest.mark.parametrize("optim_bits", [8, 32])
def test_a_resumed_optimizer_pages_its_states(
    optim_bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paged memory is a GPU's, so ordinary tensors stand for it here."""
    pytest.importorskip("bitsandbytes")
    from mmft_optimizers.paged import PagedAdamW

    def paged(optimizer: object, parameter: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        found = torch.zeros_like(parameter, dtype=dtype)
        found.is_paged = parameter.numel() > 64  # type: ignore[attr-defined]
        return found

    monkeypatch.setattr(PagedAdamW, "get_state_buffer", paged)
    network = torch.nn.Linear(64, 128)
    made = [PagedAdamW(network.parameters(), lr=0.1, optim_bits=optim_bits) for _ in range(2)]
    network(torch.ones(2, 64)).sum().backward()
    made[0].step()
    made[1].load_state_dict(made[0].state_dict())
    for parameter in network.parameters():
        one, other = (optimizer.state[parameter] for optimizer in made)
        assert one.keys() == other.keys() >= {"state1", "state2"}
        for name in ("state1", "state2"):
            assert torch.equal(one[name], other[name]) and bool(one[name].any())
            assert getattr(other[name], "is_paged", False)


@pytest.mark.parametrize("name", ["paged-adamw", "paged-adamw-8bit"])
def test_pages_need_a_gpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    build = getattr(bits, name.replace("-", "_"))
    with pytest.raises(ConfigError, match=f"engine.optimizer = '{name}' needs a CUDA GPU"):
        build(BitsAdamOptions(), OptimizerContext(groups=[], lr=0.1))
