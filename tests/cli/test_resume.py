"""Resuming: after kill -9 at a random step, after a signal, and never with other settings."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Finished

Mmft = Callable[..., Finished]


def arguments(output: Path, workers: int) -> list[str]:
    settings = {
        "engine.steps": 30,
        "engine.eval_every": 11,
        "engine.checkpoint_every": 3,
        "engine.accumulate": 2,
        "engine.ema": 0.9,
        "engine.workers": workers,
        "backbone.augment": "randaugment",
        "task.mixup": 0.2,
        "task.dropout": 0.1,
    }
    sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    names = [
        "run",
        "--task",
        "image-cls",
        "--backbone",
        "resnet18",
        "--weights",
        "none",
        "--batch-size",
        "8",
    ]
    return [*names, *sets, "-o", str(output)]


def start(call: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mmft_core", *call],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bytes]:
    """The weights that an undisturbed run ends with."""
    output = tmp_path_factory.mktemp("whole") / "run"
    process = start(arguments(output, workers=0))
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    yield (output / "model" / "model.safetensors").read_bytes()


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_kill_at_random_steps_ends_in_equal_weights(
    tmp_path: Path, whole: bytes, workers: int
) -> None:
    output = tmp_path / "run"
    process = start(arguments(output, workers))
    first = random.choice([3, 6, 9, 12])
    wait_for(output / "checkpoints" / f"step-{first}", process)
    time.sleep(random.random())
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (output / "results.json").exists()
    process = start(["run", "--resume", str(output)])
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    assert "go on at step" in text
    assert (output / "model" / "model.safetensors").read_bytes() == whole
    lines = (output / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == len(set(lines)), "steps that were done twice are told of once"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_cleanly_and_resumes_equally(
    tmp_path: Path, whole: bytes, number: signal.Signals
) -> None:
    output = tmp_path / "run"
    process = start(arguments(output, workers=1))
    wait_for(output / "checkpoints" / "step-6", process)
    os.killpg(process.pid, number)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "a checkpoint is written. Go on with: mmft run --resume" in text
    assert "Traceback" not in text
    process = start(["run", "--resume", str(output)])
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    assert (output / "model" / "model.safetensors").read_bytes() == whole


@pytest.mark.slow
def test_other_settings_and_other_data_are_refused(tmp_path: Path, mmft: Mmft) -> None:
    output = tmp_path / "run"
    process = start(arguments(output, workers=0))
    wait_for(output / "checkpoints" / "step-3", process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    ended = mmft("run", "--resume", output, "--lr", "0.1")
    assert ended.code == 2
    assert "engine.lr is 0.0005 in" in ended.err and "0.1 on the command line" in ended.err
    ended = mmft("run", "--resume", output, "--backbone", "resnet34")
    assert ended.code == 2 and "resnet34" in ended.err
    ended = mmft("run", "--resume", output, "-o", tmp_path / "other")
    assert ended.code == 2 and "Leave out --output" in ended.err
    data = output / "data.json"
    data.write_text(data.read_text().replace('"train": ', '"train": 1'))
    ended = mmft("run", "--resume", output, "--batch-size", "8")
    assert ended.code == 2 and "have changed" in ended.err
