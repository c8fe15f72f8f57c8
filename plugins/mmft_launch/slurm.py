"""A job script for SLURM."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from mmft_core.errors import ConfigError
from mmft_launch.job import PORT, Job

_TIME = re.compile(r"(\d+-)?\d{1,3}(:\d{2}){0,2}")

NOTICE = 120
"""Seconds before the end of its time at which a job is told, to write a checkpoint."""

_SCRIPT = """\
#!/usr/bin/env bash
{directives}
# Submit it with `sbatch {file}`, as often as it takes: it goes on from the last checkpoint.
set -euo pipefail
{setup}
# torchrun starts the processes of each machine; all meet at the first one.
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
{call}"""


@dataclass(frozen=True, kw_only=True)
class SlurmSettings:
    """What SLURM wants to know.

    Attributes:
        time: the limit, as SLURM writes it: minutes, HH:MM:SS or D-HH:MM:SS.
        cpus: of each process.
        memory: of each machine, as "64G"; None for the cluster's default.
        environment: a virtual environment to activate, on storage that all machines share.
    """

    name: str = "mmft"
    time: str = "24:00:00"
    partition: str | None = None
    account: str | None = None
    cpus: int = 8
    memory: str | None = None
    environment: str | None = None


def script(job: Job, settings: SlurmSettings, file: Path) -> str:
    """The job script.

    Raises:
        ConfigError: a setting is none that SLURM understands.
    """
    if not _TIME.fullmatch(settings.time):
        raise ConfigError(
            f"--time {settings.time} is no time that SLURM understands.",
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
    # srun does not take over what sbatch was told of CPUs, and would leave torchrun one of them.
    torchrun = (
        f"srun --cpus-per-task={cpus} "
        f"torchrun --nnodes={job.machines} --nproc-per-node={job.processes} "
        f'--rdzv-backend=c10d --rdzv-endpoint="$head:{PORT}" --rdzv-id="$SLURM_JOB_ID"'
    )
    return _SCRIPT.format(
        directives="\n".join(lines),
        file=file.name,
        setup=f"source {activate}\n" if activate else "",
        call=job.shell(torchrun, settings.cpus),
    )
