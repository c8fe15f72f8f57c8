"""The command line in processes of its own, forked from one that has imported everything.

Importing torch takes seconds, forking milliseconds, so that a hundred runs can be killed in the
time that ten would take to start.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import site
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from multiprocessing.process import BaseProcess
from pathlib import Path

SITE = Path(__file__).parent / "site"
"""Where the plugin of the tiny backbone is installed, for these processes alone."""

TINY = {
    "task": "image-cls",
    "backbone": "tiny",
    "backbone.image_size": 32,
    "backbone.augment": "light",
    "backbone.weights": "none",
    "dataset.val": 0.03,
    "dataset.test": 0.03,
    "task.mixup": 0.2,
    "engine.steps": 14,
    "engine.batch_size": 16,
    "engine.eval_every": 5,
    "engine.checkpoint_every": 1,
    "engine.log_every": 1,
    "engine.lr": 0.01,
    "engine.monitor": "loss",
    "engine.ema": 0.5,
    "engine.workers": 0,
    "engine.device": "cpu",
}
"""A run of a second or two on the built-in digits."""


def new_run(output: Path, **changes: object) -> list[str]:
    """The arguments of a run; `engine__steps=3` changes one of `TINY`."""
    settings = TINY | {key.replace("__", "."): value for key, value in changes.items()}
    sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    return ["run", *sets, "--output", str(output)]


class Cli:
    """A call of the command line in a process of its own, which leads a process group."""

    def __init__(
        self,
        arguments: Sequence[str | Path],
        log: Path,
        first: Callable[[], None] | None = None,
    ) -> None:
        """Args:
        log: takes what it prints.
        first: is called in the process before anything else; must be a function of a module.
        """
        self.log = log
        self._process: BaseProcess = forking().Process(
            target=_main, args=([str(a) for a in arguments], log, first)
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.is_alive()

    def wait(self, seconds: float | None = 300) -> int:
        """Wait for its end.

        Returns:
            The exit code, or the number of the signal that ended it, negated.
        """
        self._process.join(seconds)
        code = self._process.exitcode
        assert code is not None, f"it does not end: {self.text}"
        return code

    def kill(self, *, group: bool = True) -> int:
        """Kill it as `kill -9` does, with its worker processes or without them."""
        send = os.killpg if group else os.kill
        try:
            send(self.pid, signal.SIGKILL)
        except ProcessLookupError:  # It has just ended, or has not become a leader yet.
            self._process.kill()
        return self.wait()

    def wait_for(self, path: Path) -> None:
        """Wait until there is a file, or the process has ended."""
        while not path.exists() and self.running:
            time.sleep(0.002)

    @property
    def children(self) -> list[int]:
        """Its processes that load data."""
        listed = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in listed.read_text().split()]

    @property
    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


@cache
def forking() -> multiprocessing.context.ForkServerContext:
    """Forks processes from one that has imported everything, with its environment."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.preload"])
    return context


def run_pytest(folder: Path, installed: Path, arguments: Sequence[str]) -> None:
    """Run pytest where plugins are installed, in place of the command line of a `Cli`."""
    import pytest

    os.chdir(folder)
    site.addsitedir(str(installed))
    sys.exit(pytest.main(list(arguments)))


def _main(arguments: list[str], log: Path, first: Callable[[], None] | None) -> None:
    os.setsid()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.path.insert(0, str(SITE))
    multiprocessing.set_start_method("fork", force=True)  # For processes that load data.
    if first is not None:
        first()
    from mmft_core.cli import main

    main(arguments)
