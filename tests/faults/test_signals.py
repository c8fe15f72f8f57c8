"""What asks a run to stop, and what becomes of its loader processes."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import pty
import signal
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from mmft_core.distributed.signals import STOP_SIGNALS, leave_stopping_to_parent
from tests.faults.processes import Cli, new_run

linux = pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")


def use_terminal(name: str) -> None:
    """Let this process, the leader of a new session, write to a terminal that controls it.

    It hears when that is closed, also where the tests themselves do not, as under nohup.
    """
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    terminal = os.open(name, os.O_RDWR)
    os.dup2(terminal, 1)
    os.dup2(terminal, 2)


@pytest.mark.slow
def test_a_closed_terminal_leaves_a_checkpoint(tmp_path: Path) -> None:
    output = tmp_path / "run"
    ours, theirs = pty.openpty()
    call = new_run(output, engine__steps=100_000, engine__workers=1)
    process = Cli(call, tmp_path / "log", partial(use_terminal, os.ttyname(theirs)))
    process.wait_for(output / "checkpoints" / "step-3")
    os.close(theirs)
    os.close(ours)
    try:
        assert process.wait(60) == 130
    finally:
        process.kill()
    steps = sorted((output / "checkpoints").glob("step-*"))
    assert steps and not (output / "results.json").exists()


@pytest.mark.slow
@linux
def test_loader_processes_end_with_a_killed_parent(tmp_path: Path) -> None:
    output = tmp_path / "run"
    call = new_run(output, engine__steps=100_000, engine__workers=2)
    process = Cli(call, tmp_path / "log")
    process.wait_for(output / "checkpoints" / "step-3")
    children = process.children
    assert len(children) == 2
    process.kill(group=False)
    deadline = time.monotonic() + 10
    while any(running(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(running(child) for child in children)


def running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def read_settings(results: multiprocessing.SimpleQueue[tuple[int, bool]]) -> None:
    leave_stopping_to_parent(end_with_parent=True)
    number = ctypes.c_int()
    ctypes.CDLL(None).prctl(2, ctypes.byref(number))  # PR_GET_PDEATHSIG
    results.put((number.value, all(signal.getsignal(s) == signal.SIG_IGN for s in STOP_SIGNALS)))


@linux
def test_the_kernel_is_asked_to_end_a_child_with_its_parent() -> None:
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    child = context.Process(target=read_settings, args=(results,))
    child.start()
    assert results.get() == (signal.SIGKILL, True)
    child.join()
