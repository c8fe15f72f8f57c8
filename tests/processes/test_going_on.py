"""A run that was killed goes on, on whatever number of processes."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.processes.tasks import calls
from tests.processes.tools import assert_alike, end, start_runs


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_then_one_then_two(tmp_path: Path, parallel: str) -> None:
    longer = (
        "--set=engine.steps=9",
        "--set=engine.checkpoint_every=3",
        "--set=engine.optimizer=adamw",
        "--set=engine.ema=0.5",
        f"--set=engine.parallel={parallel}",
    )
    call = [*calls(tmp_path, ["texts"])["texts"], *longer]
    whole, run, file = tmp_path / "whole", tmp_path / "run", tmp_path / "calls.json"
    undisturbed = start_runs(1, tmp_path / "whole.json", [[*call, "-o", str(whole)]])
    killed = start_runs(2, file, [[*call, "-o", str(run)]], 3, signal.SIGKILL, 1)
    code, text = end(killed)
    assert code == 1, text
    assert text.count("has gone without a word") == 1, text
    assert "gone without a word" in json.loads((run / "failure.json").read_text())["reason"]
    assert (run / "checkpoints" / "step-3").is_dir() and not (run / "run.lock").exists()

    again = [["run", "--resume", str(run)]]
    code, text = end(start_runs(1, file, again, 6, signal.SIGTERM, 0))
    assert code == 130 and "go on at step 3" in text, text
    code, text = end(start_runs(2, file, again))
    assert code == 0 and text.count("go on at step") == 1, text
    assert end(undisturbed)[0] == 0
    assert_alike(run, whole)
    assert not list((run / "model").glob("*.distcp")), "nothing is pickled"
