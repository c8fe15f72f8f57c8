"""`mmft launch`: a run in several processes, here or as a job of a cluster."""

from __future__ import annotations

import datetime as dt
import shlex
import sys
from pathlib import Path

import click

from mmft_core import LauncherSpec, discover
from mmft_core.cli import check_run, echo, echo_data
from mmft_core.config import convert, parse_set
from mmft_core.errors import ConfigError, PluginError
from mmft_core.utils import write_text
from mmft_launch.launcher import Job, Launcher, make_job

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
@click.option(
    "--with",
    "launcher",
    metavar="NAME",
    help="Launcher to use; `mmft plugins --kind launcher` lists them.  [default: torchrun]",
)
@click.option("--file", type=_FILE, help="Write a job file for you to submit, and start nothing.")
@click.option("--show", is_flag=True, help="Print the command or the job file, and start nothing.")
@click.option("--slurm", type=_FILE, metavar="FILE", help="Short for --with slurm --file FILE.")
@click.option(
    "--kubernetes", type=_FILE, metavar="FILE", help="Short for --with kubernetes --file FILE."
)
@click.option("--jobset", type=_FILE, metavar="FILE", help="Short for --with jobset --file FILE.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Option of the launcher; `mmft plugins show NAME` lists them. Can be repeated.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def launch(
    processes: int | None,
    machines: int,
    gpus: int | None,
    meet: str | None,
    launcher: str | None,
    file: Path | None,
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
    mmft launch --machines 2 --processes 8 --with slurm --file job.sh -- run ... -o DIR
    mmft launch --machines 2 --processes 8 --with kubernetes --file job.yaml \\
        --set image=IMAGE -- run ... -o DIR
    """
    short = {"slurm": slurm, "kubernetes": kubernetes, "jobset": jobset}
    wanted = [(name, own) for name, own in short.items() if own is not None]
    if len(wanted) + (launcher is not None or file is not None) > 1:
        raise ConfigError("Only one job file is written at a time.")
    name, file = wanted[0] if wanted else (launcher or "torchrun", file)
    job = make_job(arguments, machines, processes, gpus, meet)
    chosen = _launcher(name, job, assignments)
    if file is None and not show:
        check_run(arguments[1:])
        sys.exit(chosen.start())
    text = chosen.text(file)
    check_run(arguments[1:])
    if file is None:
        echo_data(text, nl=False)
        return
    if file.exists():
        raise ConfigError(
            f"{file} exists already.", hint="Choose another name, or remove the file."
        )
    write_text(file, text)
    echo(f"Written. Submit it with: {chosen.submit} {shlex.quote(str(file))}")


def _launcher(name: str, job: Job, assignments: tuple[str, ...]) -> Launcher:
    """Raises:
    UnknownComponentError, AmbiguousNameError: there is no such launcher, or several.
    ConfigError: one of its options is wrong.
    PluginError: the plugin built something else.
    """
    component = discover().get(LauncherSpec, name)
    # TOML takes 12:00:00 for a time of the day.
    settings = {
        key: str(value) if isinstance(value, dt.time) else value
        for key, value in parse_set(assignments).items()
    }
    built = component.build(convert(settings, component.options_type(), component.name), job)
    if not isinstance(built, Launcher):
        raise PluginError(
            f"Launcher '{component.qualified}' built a {type(built).__name__}, not a Launcher."
        )
    return built
