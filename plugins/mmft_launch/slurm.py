"""A job script for SLURM."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from mmft_core.errors import ConfigError
from mmft_launch.launcher import PORT, Job, Launcher
from mmft_launch.options import SlurmOptions

_TIME = re.compile(r"(\d+-)?\d{1,3}(:\d{2}){0,2}")

NOTICE = 120
"""Seconds before its time limit at which a job gets a signal, to write a checkpoint."""

_SCRIPT = """\
#!/usr/bin/env bash
{directives}
# Submit it with `sbatch {file}`, as often as needed: it continues from the last checkpoint.
set -euo pipefail
{setup}
# torchrun starts the processes of each machine; all meet at the first one.
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
{call}"""


class Slurm(Launcher):
    submit = "sbatch"

    def __init__(self, options: SlurmOptions, job: Job) -> None:
        self.options, self.job = options, job

    def text(self, file: Path | None = None) -> str:
        return _script(self.job, self.options, file.name if file else "FILE")


def _script(job: Job, settings: SlurmOptions, name: str) -> str:
    """The job script.

    Raises:
        ConfigError: a setting is not one that SLURM understands.
    """
    if not _TIME.fullmatch(settings.time):
        raise ConfigError(
            f"--time {settings.time} is not a time that SLURM understands.",
            hint="Give minutes, HH:MM:SS or D-HH:MM:SS.",
        )
    cpus = settings.cpus * job.processes
    directives = {
        "job-name": settings.name,
        "nodes": job.machines,
        "ntasks-per-node": 1,
        "gpus-per-node": job.gpus or None,
        "cpus-per-task": cpus,
        "mem": settings.memory,
        "time": settings.time,
        "partition": settings.partition,
        "account": settings.account,
        "signal": f"TERM@{NOTICE}",
        "requeue": "",
        "output": "%x-%j.log",
        "open-mode": "append",
    }
    lines = [
        f"#SBATCH --{name}={value}" if value != "" else f"#SBATCH --{name}"
        for name, value in directives.items()
        if value is not None
    ]
    activate = settings.environment and shlex.quote(f"{settings.environment}/bin/activate")
    # srun does not inherit sbatch's number of CPUs, and would give torchrun only one.
    torchrun = (
        f"srun --cpus-per-task={cpus} "
        f"torchrun --nnodes={job.machines} --nproc-per-node={job.processes} "
        f'--rdzv-backend=c10d --rdzv-endpoint="$head:{PORT}" --rdzv-id="$SLURM_JOB_ID"'
    )
    return _SCRIPT.format(
        directives="\n".join(lines),
        file=name,
        setup=f"source {activate}\n" if activate else "",
        call=job.shell(torchrun, settings.cpus),
    )
