"""Signals that stop a run: it writes a checkpoint and ends, and `--resume` continues it."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Self

from mmft_core.distributed import comm

STOP_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
    if hasattr(signal, name)
)
"""Ctrl-C, a scheduler's or operator's request, a closed terminal, and SLURM's usual warning."""

_PR_SET_PDEATHSIG = 1


class StopRequest:
    """Notes the first stop signal; a second SIGINT raises KeyboardInterrupt at once.

    Not so with several ranks: each gets Ctrl-C twice, from the terminal and from the launcher, and
    the launcher kills those that take too long.

    SIGHUP stays ignored under `nohup`. Used as a context manager. Outside the main thread, where
    Python allows no signal handlers, it never notes anything.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._previous: dict[int, object] = {}
        self._terminals: list[int] = []

    def __bool__(self) -> bool:
        return self.signal is not None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._terminals = [stream for stream in (1, 2) if os.isatty(stream)]
            for number in STOP_SIGNALS:
                if number != getattr(signal, "SIGHUP", None) or not _ignored(number):
                    self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT and comm.count() == 1:
            raise KeyboardInterrupt
        if number == getattr(signal, "SIGHUP", None):
            self._leave_terminal()
        self.signal = signal.Signals(number)

    def _leave_terminal(self) -> None:
        """Write nothing more to a terminal that was closed, which would raise an OSError."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in self._terminals:
            os.dup2(nowhere, stream)
        os.close(nowhere)


@contextlib.contextmanager
def stop_signals_blocked() -> Iterator[None]:
    """Block stop signals, here and in child processes that are forked meanwhile.

    A child unblocks them once it ignores them (`leave_stopping_to_parent`). Otherwise a stop signal
    to the whole process group would kill a child that is still starting, and the run would fail
    instead of stopping. Does nothing where processes are not forked, as on macOS and Windows.
    """
    if multiprocessing.get_start_method() != "fork":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_stopping_to_parent(*, end_with_parent: bool) -> None:
    """In a child process: ignore stop signals, which reach the whole process group.

    Args:
        end_with_parent: have Linux kill this process when the thread that started it is gone; else
            a killed parent's children live on until they next look for it. Only for children of a
            thread that lives as long as its process.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # See above.
    if end_with_parent and sys.platform == "linux":
        parent = os.getppid()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # It was killed in between.
            os._exit(1)


def _ignored(number: int) -> bool:
    return signal.getsignal(number) == signal.SIG_IGN
