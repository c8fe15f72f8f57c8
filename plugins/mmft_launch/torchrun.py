"""torchrun, which starts the processes of one machine and ends them together."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import warnings
from collections.abc import Iterator, Mapping

from mmft_core import cpus
from mmft_launch.job import Job


def line(job: Job, meeting_point: str | None = None) -> list[str]:
    """The command that starts a job's processes on a machine.

    Args:
        meeting_point: HOST:PORT of any of the machines, where there are several.
    """
    meeting = (
        ["--standalone"]
        if job.machines == 1
        else [
            f"--nnodes={job.machines}",
            "--rdzv-backend=c10d",
            f"--rdzv-endpoint={meeting_point}",
            "--rdzv-id=mmft",
        ]
    )
    return ["torchrun", *meeting, f"--nproc-per-node={job.processes}"]


def show(job: Job, meeting_point: str | None = None) -> str:
    """The whole command, to be copied into a shell."""
    return shlex.join([*line(job, meeting_point), "-m", "mmft_core", *job.arguments])


def start(job: Job, meeting_point: str | None = None) -> int:
    """Start a job's processes on this machine and wait for their end.

    They speak for themselves, so torchrun's own account of how they ended is left out.

    Returns:
        the exit code: 0 if all is well, or that of the process that failed first.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    arguments = [*line(job, meeting_point)[1:], "-m", "mmft_core", *job.arguments]
    logging.disable(logging.CRITICAL)
    # It imports a module of its own that is on its way out.
    warnings.filterwarnings("ignore", module="torch.distributed")
    wanted = {"OMP_NUM_THREADS": str(_threads(job)), "TORCH_CPP_LOG_LEVEL": "ERROR"}
    with _environment(wanted):
        try:
            run(parse_args(arguments))  # type: ignore[no-untyped-call]
        except ChildFailedError as error:
            _, failure = error.get_first_failure()
            return failure.exitcode if failure.exitcode > 0 else 1
        except SignalException as error:
            return 128 + error.sigval.value
    return 0


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
