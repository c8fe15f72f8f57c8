"""torchrun, which starts the processes of one machine and ends them together."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

from mmft_core import NoOptions, cpus
from mmft_core.errors import ConfigError
from mmft_launch.launcher import Job, Launcher


class Torchrun(Launcher):
    """The processes of this machine; the other machines are given the same command."""

    def __init__(self, options: NoOptions, job: Job) -> None:
        """Raises:
        ConfigError: there are several machines, but no address at which they meet.
        """
        if job.machines > 1 and job.meet is None:
            raise ConfigError(
                f"{job.machines} machines need to know where to meet.",
                hint="Give --meet HOST:PORT, the same on each of them.",
            )
        self.job = job

    def text(self, file: Path | None = None) -> str:
        return shlex.join(["torchrun", *self._arguments()]) + "\n"

    def start(self) -> int:
        """Start the processes and wait for their end.

        They report their own errors, so torchrun's account of these is left out.

        Returns:
            0 if all is well, or the exit code of the process that failed first.
        """
        from torch.distributed.elastic.multiprocessing import SignalException
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
        from torch.distributed.run import parse_args, run

        logging.disable(logging.CRITICAL)
        # It imports a deprecated module of its own.
        warnings.filterwarnings("ignore", module="torch.distributed")
        wanted = {"OMP_NUM_THREADS": str(_threads(self.job)), "TORCH_CPP_LOG_LEVEL": "ERROR"}
        with _environment(wanted):
            try:
                run(parse_args(self._arguments()))  # type: ignore[no-untyped-call]
            except ChildFailedError as error:
                _, failure = error.get_first_failure()
                return failure.exitcode if failure.exitcode > 0 else 1
            except SignalException as error:
                return 128 + error.sigval.value
        return 0

    def _arguments(self) -> list[str]:
        meeting = (
            ["--standalone"]
            if self.job.machines == 1
            else [
                f"--nnodes={self.job.machines}",
                "--rdzv-backend=c10d",
                f"--rdzv-endpoint={self.job.meet}",
                "--rdzv-id=mmft",
            ]
        )
        processes = f"--nproc-per-node={self.job.processes}"
        return [*meeting, processes, "-m", "mmft_core", *self.job.arguments]


def _threads(job: Job) -> int:
    """Threads of each process, so that all of them together have the machine's cores."""
    return max(1, cpus.available() // job.processes)


@contextlib.contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """Set variables of the environment that the user has not set."""
    new = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            del os.environ[name]
