"""Further workers of a sweep, as processes that join it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import torch

from mmft_core import cpus
from mmft_core.errors import TrainingError
from mmft_sweep.folder import SweepFolder

_STOPPED = 130
"""The exit code of a command that a signal asked to stop."""


class Jobs:
    """Starts workers, and ends them with their context.

    Each is the command that a user may give in another terminal, with its share of the processor's
    cores and, where there are several GPUs, one of these in turn.
    """

    def __init__(
        self, folder: SweepFolder, count: int, trials: int | None, tell: Callable[[str], None]
    ) -> None:
        """Args:
        count: of workers, this process among them.
        trials: after this many they end; None for as many as the sweep is for.
        tell: called with a sentence on each worker that was killed.
        """
        self.tell = tell
        self.folder, self.count = folder, count
        self.command = [sys.executable, "-m", "mmft_core", "sweep", "--resume", str(folder.path)]
        self.command += [] if trials is None else ["--trials", str(trials)]
        self.workers: dict[Path, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        if self.count > 1 and "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(self._threads())
        for number in range(2, self.count + 1):
            log = self.folder.log(number)
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("wb") as stream:
                self.workers[log] = subprocess.Popen(
                    self.command,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    env=self._environment(number),
                )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for worker in self.workers.values():
            if worker.poll() is None:
                worker.terminate()  # A worker then ends cleanly.
        for worker in self.workers.values():
            worker.wait()

    def check(self) -> None:
        """Look for workers that have ended.

        One that was killed or asked to stop is reported: another worker continues its trial.

        Raises:
            TrainingError: a worker has ended with an error, which others would meet, too.
        """
        for log, worker in list(self.workers.items()):
            code = worker.poll()
            if code is not None and (code < 0 or code == _STOPPED):
                del self.workers[log]
                self.tell(f"A sweep worker {_how(code)}; the others continue. Its log: {log}")
            elif code:
                lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                told = next((t for t in reversed(lines) if t.startswith("error: ")), None)
                last = told or (lines[-1] if lines else f"exit code {worker.returncode}")
                raise TrainingError(
                    f"A sweep worker has ended: {last.removeprefix('error: ')}",
                    hint=f"Its whole output is in {log}.",
                )

    def wait(self) -> None:
        """Wait for all workers to end.

        Raises:
            TrainingError: one ended with an error.
        """
        while any(worker.poll() is None for worker in self.workers.values()):
            self.check()
            time.sleep(0.2)
        self.check()

    def _threads(self) -> int:
        return max(1, cpus.available() // self.count)

    def _environment(self, number: int) -> dict[str, str]:
        environment = {"OMP_NUM_THREADS": str(self._threads())} | os.environ
        gpus = torch.cuda.device_count()
        if gpus > 1 and "CUDA_VISIBLE_DEVICES" not in os.environ:
            environment["CUDA_VISIBLE_DEVICES"] = str((number - 1) % gpus)
        return environment


def _how(code: int) -> str:
    """How a worker ended, by its exit code."""
    if code == _STOPPED:
        return "was asked to stop"
    name = signal.Signals(-code).name
    memory = " (memory may have run out)" if name == "SIGKILL" else ""
    return f"was killed by {name}{memory}"
