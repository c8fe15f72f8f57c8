"""`mmft launch`: a run in several processes, here or as a job of a cluster."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from mmft_core.cli.terminal import echo
from mmft_core.errors import ConfigError
from mmft_core.files import write_text
from mmft_core.planning.options import convert
from mmft_core.planning.trees import Tree, parse_set
from mmft_launch import kubernetes, slurm, torchrun
from mmft_launch.job import Job, make_job

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--processes",
    type=click.IntRange(1),
    help="Processes per machine.  [default: its number of GPUs]",
)
@click.option(
    "--machines", type=click.IntRange(1), default=1, help="Number of machines.  [default: 1]"
)
@click.option(
    "--gpus", type=click.IntRange(0), help="GPUs per machine.  [default: one per process]"
)
@click.option(
    "--meet", metavar="HOST:PORT", help="Rendezvous address: one of the machines, with a free port."
)
@click.option("--show", is_flag=True, help="Print the torchrun command without running it.")
@click.option("--slurm", type=_FILE, metavar="FILE", help="Write a SLURM script to this file.")
@click.option(
    "--kubernetes", type=_FILE, metavar="FILE", help="Write a Kubeflow TrainJob to this file."
)
@click.option(
    "--jobset", type=_FILE, metavar="FILE", help="Write a Kubernetes JobSet to this file."
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of the job file: name, cpus, memory; for SLURM also time, partition, account, "
    "environment; for Kubernetes image, namespace, claim, mount; for a JobSet restarts. Can be "
    "repeated.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def launch(
    processes: int | None,
    machines: int,
    gpus: int | None,
    meet: str | None,
    show: bool,
    slurm: Path | None,
    kubernetes: Path | None,
    jobset: Path | None,
    assignments: tuple[str, ...],
    arguments: tuple[str, ...],
) -> None:
    """Start a run in several processes, or write a job file that does.

    \b
    mmft launch --processes 2 -- run --task image-cls --backbone resnet50 --dataset ./photos
    mmft launch --machines 2 --meet host1:29500 -- run ...     the same on both machines
    mmft launch --machines 2 --processes 8 --slurm job.sh --set partition=gpu -- run ... -o DIR
    mmft launch --machines 2 --processes 8 --kubernetes job.yaml --set image=IMAGE -- run ...
    """
    job, settings = make_job(arguments, machines, processes, gpus), parse_set(assignments)
    files = {"slurm": slurm, "kubernetes": kubernetes, "jobset": jobset}
    wanted = {kind: file for kind, file in files.items() if file is not None}
    if len(wanted) > 1:
        raise ConfigError(f"Only one job file is written at a time, not {' and '.join(wanted)}.")
    for kind, file in wanted.items():
        write_text(file, _job_file(kind, job, settings, file))
        start = "sbatch" if kind == "slurm" else "kubectl apply -f"
        echo(f"Written. Submit it with: {start} {shlex.quote(str(file))}")
        return
    if settings:
        raise ConfigError("--set is for job files.", hint="Give settings of the run after --.")
    if machines > 1 and meet is None:
        raise ConfigError(
            f"{machines} machines need to know where to meet.",
            hint="Give --meet HOST:PORT, the same on each of them.",
        )
    if show:
        echo(torchrun.show(job, meet))
    else:
        sys.exit(torchrun.start(job, meet))


def _job_file(kind: str, job: Job, settings: Tree, file: Path) -> str:
    if kind == "slurm":
        if "time" in settings:  # Which TOML takes for a time of the day.
            settings = {**settings, "time": str(settings["time"])}
        return slurm.script(job, convert(settings, slurm.SlurmSettings, "slurm"), file)
    if "image" not in settings:
        raise ConfigError(
            "Kubernetes needs a container image with mmft in it.", hint="Give --set image=IMAGE."
        )
    if kind == "kubernetes":
        return kubernetes.train_job(job, convert(settings, kubernetes.KubernetesSettings, kind))
    return kubernetes.job_set(job, convert(settings, kubernetes.JobSetSettings, kind))
