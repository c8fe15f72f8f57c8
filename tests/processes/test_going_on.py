"""A run that was stopped or killed goes on, on whatever number of processes."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.processes.tasks import calls
from tests.processes.tools import assert_alike, start_runs

LONGER = (
    "--lr=1e-3",
    "--set=engine.steps=9",
    "--set=engine.checkpoint_every=3",
    "--set=engine.optimizer=adamw",
    "--set=engine.ema=0.5",
)


@pytest.mark.slow
def test_two_processes_then_one_then_two(tmp_path: Path) -> None:
    """Whole checkpoints after a signal to one of the processes, those in parts after its death."""
    call = [*calls(tmp_path, ["texts"])["texts"], *LONGER]
    runs, log = [tmp_path / "ddp", tmp_path / "fsdp"], tmp_path / "log"
    first = [[*call, f"--set=engine.parallel={run.name}", "-o", str(run)] for run in runs]
    again = [["run", "--resume", str(run)] for run in runs]
    whole = [*call, "-o", str(tmp_path / "whole")]

    endings = [(3, signal.SIGTERM, 1), (3, signal.SIGKILL, 1)]
    code, text = start_runs(2, log, first, endings).end()
    assert code == -signal.SIGKILL, text
    assert text.count("Stopped at step 3 of 9; a checkpoint is written.") == 1, text
    assert text.count("has ended without an error message") == 1, text
    assert (
        "ended without an error message"
        in json.loads((runs[1] / "failure.json").read_text())["reason"]
    )
    for run in runs:
        assert (run / "checkpoints" / "step-3").is_dir()
    (parts,) = [list(run.glob("checkpoints/step-3/*")) for run in runs[1:]]
    assert {part.suffix for part in parts} == {".json", ".safetensors"}, "nothing is pickled"

    endings = [(6, signal.SIGTERM, 0)] * 2
    code, text = start_runs(1, log, [*again, whole], endings).end()
    assert code == 0 and text.count("resuming at step 3 of 9") == 2, text

    code, text = start_runs(2, log, again).end()
    assert code == 0 and text.count("resuming at step 6 of 9") == 2, text
    for run in runs:
        assert_alike(run, tmp_path / "whole")
