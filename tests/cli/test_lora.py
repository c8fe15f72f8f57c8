"""`--tune lora` from the command line: what is trained, what is kept, what is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from mmft_core import discover
from mmft_core.config.resolving import make_plan
from mmft_core.config.trees import read_toml
from mmft_core.contracts.callbacks import TrainStep
from mmft_core.run import artifacts, runner
from tests.conftest import Finished, run_arguments
from tests.engine.toy import Recorder

Mmft = Callable[..., Finished]

pytestmark = pytest.mark.usefixtures("narrow_pictures")

FEW = ("--set", "dataset.val=0.05", "--set", "dataset.test=0.05")
"""Of the digits, some are enough to be judged by."""


def adapting(output: Path, base: Path, *more: str) -> Sequence[str | Path]:
    settings = ("--set", "engine.steps=4", "--set", "engine.precision=fp32", "--lr", "3e-3")
    options = ("--weights", base, "--tune", "lora", "--set", "engine.lora.rank=8", *settings)
    arguments = [a for a in run_arguments(output, *FEW) if a not in ("--weights", "none")]
    return (*arguments, *options, *more)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose weights others start from."""
    from mmft_core.cli import main

    output = tmp_path_factory.mktemp("base") / "run"
    main([str(a) for a in run_arguments(output, *FEW, "--set", "engine.steps=2")])
    return output


@pytest.fixture
def moved_base(tmp_path: Path, base: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(base, tmp_path / "base"))


def probabilities(run: Path) -> torch.Tensor:
    """What the model in a run says of the same pixels."""
    from mmft_core.contracts import Batch

    task = artifacts.load(run, discover()).task
    pixels = torch.randint(0, 256, (4, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        result = task(Batch({"image": {"pixels": pixels.float()}}, None, [""] * 4)).predictions
    assert isinstance(result, torch.Tensor)
    return result


def test_merged_and_adapter_models_predict_alike(tmp_path: Path, base: Path, mmft: Mmft) -> None:
    merged, apart = tmp_path / "merged", tmp_path / "apart"
    assert mmft(*adapting(merged, base)).code == 0
    assert mmft(*adapting(apart, base, "--set", "engine.lora.save=adapter")).code == 0
    assert torch.allclose(probabilities(merged), probabilities(apart), atol=1e-5)
    assert not torch.allclose(probabilities(merged), probabilities(base), atol=1e-3)
    # Merged, it is a model like any other.
    before, after = (load_file(r / "model" / "model.safetensors") for r in (base, merged))
    assert before.keys() == after.keys()
    assert not torch.equal(
        *(s["backbones.image.body.layer1.0.conv1.weight"] for s in (before, after))
    )
    name = "backbones.image.body.layer1.0.bn1.running_mean"
    assert torch.equal(before[name], after[name]), "statistics of frozen norms have moved"
    # Apart, it holds what was trained.
    model = apart / "model"
    assert set(load_file(model / "model.safetensors")) == {"head.weight", "head.bias"}
    adapter = model / "adapter" / "image"
    assert json.loads((adapter / "adapter_config.json").read_text())["peft_type"] == "LORA"
    size = sum(file.stat().st_size for file in model.rglob("*"))
    assert size < (merged / "model" / "model.safetensors").stat().st_size / 2
    # What was measured at the end is measured again after reloading.
    for run in (merged, apart):
        results = json.loads((run / "results.json").read_text())
        ended = mmft("eval", run, "--split", "test", "--json")
        assert ended.code == 0, ended.err
        figures = json.loads(ended.out)
        assert figures["loss"] == pytest.approx(results["metrics"]["test"]["loss"], abs=1e-5)


def test_the_share_of_trained_parameters_is_told(tmp_path: Path, base: Path, mmft: Mmft) -> None:
    ended = mmft(*adapting(tmp_path / "run", base))
    parameters = json.loads((tmp_path / "run" / "results.json").read_text())["parameters"]
    assert parameters["trained_share"] == pytest.approx(
        parameters["trained"] / parameters["total"], abs=1e-6
    )
    assert 0.1 < parameters["trained_share"] < 0.3
    share = f"{parameters['trained_share']:.2%}"
    assert f"{share} of the parameters" in ended.out
    assert share in (tmp_path / "run" / "report.html").read_text()
    dry = mmft(*adapting(tmp_path / "dry", base, "--dry-run")).out
    assert "tune = lora" in dry
    told = float(dry.partition(" of them trained at the start (")[2].partition("%")[0])
    assert told == pytest.approx(100 * parameters["trained_share"], abs=1), "but for the head"


class Stop(Recorder):
    """Presses Ctrl-C after the second step."""

    def on_step(self, event: TrainStep) -> None:
        if event.step == 2:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("save", ["merged", "adapter"])
def test_an_interrupted_run_ends_in_equal_models(
    tmp_path: Path, base: Path, mmft: Mmft, save: str
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert mmft(*adapting(whole, base, "--set", f"engine.lora.save={save}")).code == 0
    plan = make_plan(read_toml(whole / "config.toml"), discover())
    assert runner.train(plan, cut, [Stop()]).results is None
    checkpoint = cut / "checkpoints" / "step-2" / "tensors.safetensors"
    holds_base = any("base_layer" in key for key in load_file(checkpoint))
    assert holds_base == (save == "merged")
    ended = mmft("run", "--resume", cut)
    assert ended.code == 0, ended.err
    for file in ("model.safetensors", "adapter/image/adapter_model.safetensors"):
        one, other = whole / "model" / file, cut / "model" / file
        assert one.exists() == other.exists()
        assert not one.exists() or one.read_bytes() == other.read_bytes()


def test_a_base_that_changed_or_is_gone_is_one_sentence(
    tmp_path: Path, moved_base: Path, mmft: Mmft
) -> None:
    run = tmp_path / "run"
    ended = mmft(*adapting(run, moved_base, "--set", "engine.lora.save=adapter"))
    assert ended.code == 0, ended.err
    other = mmft(*adapting(tmp_path / "more", run))
    assert other.code == 2 and "holds adapters without the weights below them" in other.err
    weights = moved_base / "model" / "model.safetensors"
    state = load_file(weights)
    state["backbones.image.body.conv1.weight"][0, 0, 0, 0] += 1e-6
    save_file(state, weights)
    picture = tmp_path / "picture.png"
    Image.new("RGB", (8, 8)).save(picture)
    damaged = mmft("predict", run, picture)
    (moved_base / "model" / "digests.json").unlink()
    changed = mmft("predict", run, picture)
    weights.unlink()
    gone = mmft("predict", run, picture)
    reasons = ("is not what was written", "have changed", "can no longer be loaded")
    for ended, reason in zip((damaged, changed, gone), reasons, strict=True):
        assert ended.code == 2
        assert reason in ended.err and str(moved_base) in ended.err
        assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["--tune", "lora", "--set", "engine.lora.rank=0"], "engine.lora.rank = 0 is not valid"),
        (
            ["--tune", "lora", "--set", "engine.lora.targets=['attention']"],
            "no layers of role 'attention'",
        ),
        (["--tune", "lora", "--set", "engine.lora.rnk=4"], "Did you mean 'rank'"),
        (["--set", "engine.lora.rank=4"], "engine.tune = 'full' uses no adapters"),
        (["--tune", "gradual+lora"], "cannot be combined with another way of tuning"),
        (["--tune", "lora", "--set", "engine.lora.save=adapter"], "these are random"),
    ],
)
def test_mistakes_are_told_before_training(
    tmp_path: Path, mmft: Mmft, settings: list[str], message: str
) -> None:
    ended = mmft(*run_arguments(tmp_path / "run", *settings))
    assert ended.code == 2
    assert message in ended.err
    assert not (tmp_path / "run").exists()


def test_gradient_checkpointing_changes_no_result(tmp_path: Path, mmft: Mmft) -> None:
    found = []
    for name, value in (("with", "true"), ("without", "false")):
        settings = {
            "engine.steps": "3",
            "engine.precision": "fp32",
            "engine.gradient_checkpointing": value,
        }
        sets = [part for k, v in settings.items() for part in ("--set", f"{k}={v}")]
        assert mmft(*run_arguments(tmp_path / name, *FEW, *sets)).code == 0
        found.append(load_file(tmp_path / name / "model" / "model.safetensors"))
    assert all(torch.allclose(found[0][k], v, atol=1e-5) for k, v in found[1].items())


def test_a_file_of_settings_may_hold_those_of_adapters(tmp_path: Path, mmft: Mmft) -> None:
    """As the one that every run writes does, with what was the default then."""
    file = tmp_path / "run.toml"
    file.write_text("[engine.lora]\nrank = 3\n")
    ended = mmft(*run_arguments(tmp_path / "run", "--dry-run", "-c", file))
    assert ended.code == 0 and "rank = 3" in ended.out, ended.err
