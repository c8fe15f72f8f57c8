"""Resuming: after kill -9 at a random step, after a signal, and never with other settings."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mmft_core.cli.display import Display
from mmft_core.contracts import Dataset
from mmft_core.contracts.callbacks import TrainStep
from tests.conftest import Finished
from tests.faults.processes import Cli

pytestmark = pytest.mark.usefixtures("tiny_backbone")

Mmft = Callable[..., Finished]


def arguments(output: Path, workers: int) -> list[str]:
    settings = {
        "engine.steps": 8,
        "engine.eval_every": 3,
        "engine.checkpoint_every": 2,
        "engine.accumulate": 2,
        "engine.ema": 0.9,
        "engine.workers": workers,
        "backbone.augment": "randaugment",
        "dataset.val": 0.03,
        "dataset.test": 0.03,
        "task.mixup": 0.2,
        "task.class_weights": "auto",
        "task.dropout": 0.1,
    }
    sets = [f"--set={key}={value}" for key, value in settings.items()]
    names = ["--task=image-cls", "--backbone=tiny", "--weights=none", "--batch-size=8"]
    return ["run", *names, *sets, "-o", str(output)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The weights that an undisturbed run ends with."""
    folder = tmp_path_factory.mktemp("whole")
    process = Cli(arguments(folder / "run", workers=0), folder / "log")
    assert process.wait() == 0, process.text
    return (folder / "run" / "model" / "model.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_kill_at_random_steps_ends_in_equal_weights(
    tmp_path: Path, whole: bytes, workers: int
) -> None:
    output, log = tmp_path / "run", tmp_path / "log"
    process = Cli(arguments(output, workers), log)
    first = random.choice([2, 4])
    process.wait_for(output / "checkpoints" / f"step-{first}")
    time.sleep(random.random() / 10)
    assert process.kill() == -signal.SIGKILL, process.text
    assert not (output / "results.json").exists()
    process = Cli(["run", "--resume", output], log)
    assert process.wait() == 0, process.text
    assert "resuming at step" in process.text
    assert (output / "model" / "model.safetensors").read_bytes() == whole
    lines = (output / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == len(set(lines)), "steps that were done twice are told of once"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_cleanly_and_resumes_equally(
    tmp_path: Path, whole: bytes, number: signal.Signals
) -> None:
    output, log = tmp_path / "run", tmp_path / "log"
    process = Cli(arguments(output, workers=1), log)
    process.wait_for(output / "checkpoints" / "step-2")
    os.killpg(process.pid, number)
    assert process.wait(60) == 130, process.text
    assert "a checkpoint is written. Resume with: mmft run --resume" in process.text
    assert "Traceback" not in process.text
    process = Cli(["run", "--resume", output], log)
    assert process.wait() == 0, process.text
    assert (output / "model" / "model.safetensors").read_bytes() == whole


class Interrupting(Display):
    """Interrupts a run as two Ctrl-C within a step do, or one while its data are checked."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_data(self, dataset: Dataset) -> None:
        if not self.step:
            signal.raise_signal(signal.SIGINT)

    def on_step(self, event: TrainStep) -> None:
        if event.step == self.step:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Have SIGINT interrupt, as in a terminal; a command in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(
    ("step", "more", "said"),
    [
        (0, (), " before anything was saved."),
        (1, (), " before the first checkpoint; training will start from the beginning. {}"),
        (3, (), "; the last checkpoint is kept. {}"),
        (1, ("--folds=2",), "; any finished folds and checkpoints are kept. {}"),
    ],
)
def test_a_second_ctrl_c_says_how_to_go_on(
    tmp_path: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch, step: int, more: Any, said: str
) -> None:
    output = tmp_path / "run"
    monkeypatch.setattr("mmft_core.cli.display.make_display", lambda screen: Interrupting(step))
    ended = mmft(*arguments(output, workers=0), *more)
    assert ended.code == 130
    last = "Aborted" + said.format(f"Resume with: mmft run --resume {output}")
    assert ended.out.splitlines()[-1] == last
    assert output.exists() == (step > 0)


@pytest.mark.slow
def test_a_run_goes_on_in_the_precision_that_it_began_in(tmp_path: Path) -> None:
    """Even where this machine would choose the other one."""
    output, log = tmp_path / "run", tmp_path / "log"
    process = Cli(arguments(output, workers=0), log)
    process.wait_for(output / "checkpoints" / "step-2")
    process.kill()
    file = output / "data.json"
    data = json.loads(file.read_text())
    began, other = data["trained_in"]["precision"], {"fp32": "bf16", "bf16": "fp32"}
    assert data["trained_in"]["device"] == "cpu"
    data["trained_in"]["precision"] = other[began]
    file.write_text(json.dumps(data))
    process = Cli(["run", "--resume", output], log)
    assert process.wait() == 0, process.text
    assert f"(cpu, {other[began]})" in process.text.partition("resuming at step")[2]


@pytest.mark.slow
def test_other_settings_and_other_data_are_refused(tmp_path: Path, mmft: Mmft) -> None:
    output = tmp_path / "run"
    process = Cli(arguments(output, workers=0), tmp_path / "log")
    process.wait_for(output / "checkpoints" / "step-2")
    process.kill()
    ended = mmft("run", "--resume", output, "--lr", "0.1")
    assert ended.code == 2
    assert "engine.lr is 0.0005 in" in ended.err and "0.1 is given now" in ended.err
    ended = mmft("run", "--resume", output, "--backbone", "resnet34")
    assert ended.code == 2 and "resnet34" in ended.err
    ended = mmft("run", "--resume", output, "-o", tmp_path / "other")
    assert ended.code == 2 and "Leave out --output" in ended.err
    data = output / "data.json"
    data.write_text(data.read_text().replace('"train": ', '"train": 1'))
    ended = mmft("run", "--resume", output, "--batch-size", "8")
    assert ended.code == 2 and "have changed" in ended.err
