"""However processes end, they end together, and one of them says why."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmft_core.cli import main
from tests.processes.tasks import calls
from tests.processes.tools import Together, start_runs


def launch(*arguments: str) -> subprocess.Popen[str]:
    """`mmft launch`, in processes of its own."""
    call = [sys.executable, "-m", "mmft_core", "launch", "--processes=2", "--", *arguments]
    return subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def end(process: subprocess.Popen[str], seconds: float = 300) -> tuple[int, str]:
    """Wait for the end: the exit code, and what was said."""
    text, _ = process.communicate(timeout=seconds)
    return process.returncode, text


@pytest.mark.slow
def test_a_mistake_is_told_once() -> None:
    code, text = end(launch("run", "--task", "nope"))
    assert code == 2
    assert text.splitlines() == [
        "error: There is no task named 'nope'. `mmft plugins --kind task` lists what is available."
    ]


@pytest.mark.slow
def test_a_failure_in_training_is_told_once_and_kept(tmp_path: Path) -> None:
    run = tmp_path / "run"
    wild = ("--set=engine.lr=1e30", "--set=engine.clip_norm=none", "-o", str(run))
    call = calls(tmp_path, ["texts"])["texts"]
    code, text = Together(2, tmp_path / "log", main, [*call, *wild]).end()
    assert code == 2
    assert text.count("error: The loss became") == 1 and "Traceback" not in text, text
    assert "The loss became" in json.loads((run / "failure.json").read_text())["reason"]


@pytest.mark.slow
def test_an_error_of_one_process_alone_is_told_once_and_ends_all(tmp_path: Path) -> None:
    """And too few samples for all processes are refused before, which is of them all."""
    call, run = calls(tmp_path, ["texts"])["texts"], tmp_path / "run"
    endless = ("--set=engine.steps=1000000", "--set=engine.checkpoint_every=3", "-o", str(run))
    few = ("--batch-size=1", "-o", str(tmp_path / "few"))
    program = [[*call, *few], [*call, *endless]]
    process = start_runs(2, tmp_path / "log", program, ["refused", (3, 0, 1)])
    code, text = process.end()
    assert code == 2, text
    assert text.count("refused: There are 2 processes, but forward passes of only 1 of the") == 1
    assert not (tmp_path / "few").exists()
    assert text.count("error: Process 1 alone has failed.") == 1 == text.count("error: "), text
    assert "alone has failed" in json.loads((run / "failure.json").read_text())["reason"]


@pytest.mark.slow
def test_ctrl_c_ends_all_with_a_checkpoint(tmp_path: Path) -> None:
    run = tmp_path / "run"
    endless = ("--set=engine.steps=1000000", "--set=engine.checkpoint_every=5", "-o", str(run))
    call = calls(tmp_path, ["texts"])["texts"]
    process = launch(*call, *endless)
    while not (run / "checkpoints" / "step-5").exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    code, text = end(process, 60)
    assert code == 130
    assert text.count("a checkpoint is written. Resume with: mmft run --resume") == 1, text
    assert "Traceback" not in text


@pytest.mark.slow
def test_what_one_process_does_is_refused_to_several(tmp_path: Path) -> None:
    code, text = Together(2, tmp_path / "log", main, ["predict", str(tmp_path)]).end()
    assert code != 0
    assert text.count("`mmft predict` runs in a single process, but 2 were started.") == 1
