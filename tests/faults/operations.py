"""A fault at the n-th operation on files of a folder or at a step, not at some moment."""

from __future__ import annotations

import errno
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_ANYWHERE = {"os.remove", "os.rmdir"}
"""Told of relative to a descriptor, so without the folder's path."""

_TAKES_SPACE = {"os.mkdir", "os.rename"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def die_at(folder: Path, fatal: int | None, tally: Path) -> None:
    """Count what this process does with files of a folder: open, rename, remove and so on.

    Args:
        fatal: the number of the operation that it is killed before; None to let it live.
        tally: a file that gets a byte for each.
    """

    def reached(count: int, event: str, arguments: tuple[Any, ...]) -> None:
        if count == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    _hear(folder, tally, reached)


def full_from(folder: Path, number: int, tally: Path) -> None:
    """From the n-th operation on, the system has no space left for files of a folder."""

    def reached(count: int, event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and (arguments[2] or 0) & _WRITES
        if count >= number and (writes or event in _TAKES_SPACE):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    _hear(folder, tally, reached)


def _hear(folder: Path, tally: Path, reached: Callable[[int, str, tuple[Any, ...]], None]) -> None:
    prefix, count = str(folder), 0
    file = os.open(tally, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if not event.startswith(("open", "os.", "shutil.")) or not arguments:
            return
        if event not in _ANYWHERE and not str(arguments[0]).startswith(prefix):
            return
        count += 1
        os.write(file, b".")
        reached(count, event, arguments)

    sys.addaudithook(hear)


def die_after(run: Path, step: int) -> None:
    """Be killed as soon as a run's checkpoint of this step is there."""
    from mmft_core.engine.state import TrainingState

    save = TrainingState.save

    def save_and_die(state: TrainingState, folder: Path) -> None:
        save(state, folder)
        if run in folder.parents and state.progress.step == step:
            os.kill(os.getpid(), signal.SIGKILL)

    TrainingState.save = save_and_die  # type: ignore[method-assign]


def limit_file_size(number: int) -> None:
    """Let the system refuse to write more than so many bytes to a file."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (number, number))
