"""Where a run is written: a disk that is full or read-only, a folder that is somebody else's."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.faults.conftest import refused, resumes
from tests.faults.operations import limit_file_size
from tests.faults.processes import Cli, new_run

Call = Callable[..., Cli]
Disk = Callable[[str], Path]


@pytest.mark.slow
def test_a_disk_that_fills_up(call: Call, disk: Disk, whole: bytes) -> None:
    place = disk("size=4m")
    run, filler = place / "run", place / "filler"
    process = call(*new_run(run))
    process.wait_for(run / "checkpoints" / "step-3")
    while process.running:
        try:
            with filler.open("ab", buffering=0) as file:
                file.write(bytes(4096))
        except OSError:
            continue
    refused(process, "No space is left to write", "--resume continues a run")
    filler.unlink()
    text = resumes(call("run", "--resume", run), run, whole)
    assert "resuming at step" in text


@pytest.mark.slow
def test_no_file_may_be_large(call: Call, tmp_path: Path, whole: bytes) -> None:
    """The first checkpoint is refused, so the run starts again from the beginning."""
    run = tmp_path / "run"
    refused(call(*new_run(run), first=partial(limit_file_size, 50_000)), "No space is left")
    assert not list((run / "checkpoints").glob("*step*"))
    text = resumes(call("run", "--resume", run), run, whole)
    assert "No checkpoint was written yet, so the run starts again from the beginning." in text


@pytest.mark.slow
def test_a_disk_that_is_read_only(call: Call, disk: Disk, killed: Path, whole: bytes) -> None:
    place = disk("size=8m")
    run = shutil.copytree(killed, place / "run")
    disk("size=8m,ro")
    refused(call("run", "--resume", run), f"{run} cannot be written: Read-only file system.")
    refused(call(*new_run(place / "new")), "cannot be written: Read-only file system.")
    disk("size=8m,rw")
    assert not (place / "new").exists()
    resumes(call("run", "--resume", run), run, whole)


@pytest.mark.slow
def test_two_runs_in_one_folder(call: Call, killed: Path, whole: bytes) -> None:
    first = call("run", "--resume", killed)
    first.wait_for(killed / "checkpoints" / "step-9")
    os.kill(first.pid, signal.SIGSTOP)  # Or it might be done before the second begins.
    second = call("run", "--resume", killed)
    refused(second, f"Another process is training the run in {killed}.", "Wait for it to end.")
    os.kill(first.pid, signal.SIGCONT)
    resumes(first, killed, whole)
    refused(call("run", "--resume", killed), f"The run in {killed} is finished.")


@pytest.mark.slow
def test_two_new_runs_of_one_name(call: Call, tmp_path: Path, whole: bytes) -> None:
    run = tmp_path / "run"
    both = [call(*new_run(run)) for _ in range(2)]
    codes = [process.wait() for process in both]
    assert sorted(codes) == [0, 2], [process.text for process in both]
    resumes(both[codes.index(0)], run, whole)
    loser = both[codes.index(2)]
    assert "Another process is training" in loser.text or "is not empty" in loser.text
    assert "Traceback" not in loser.text
