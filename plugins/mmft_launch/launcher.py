"""What a launcher is, and the job that it starts: what an author of one needs.

A plugin offers launchers by `register_launcher`; `LauncherSpec.build(options, job)` makes a
`Launcher` of the job that a user describes.
"""

from __future__ import annotations

import re
import shlex
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mmft_core.errors import ConfigError

PORT = 29500
"""The port at which processes of several machines meet, unless another is given."""

_MEETING = re.compile(r"\S+:\d{1,5}")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run in several processes.

    Attributes:
        arguments: of `mmft`, from "run" on.
        machines: how many there are.
        processes: on each of them; one for each GPU, where there are any.
        gpus: of each machine; 0 for a run on CPUs.
        meet: HOST:PORT at which the processes of several machines meet, if the user gives it.
    """

    arguments: tuple[str, ...]
    machines: int = 1
    processes: int = 1
    gpus: int = 0
    meet: str | None = None

    @property
    def output(self) -> str:
        """The folder of the run, which a job that is started again resumes.

        Raises:
            ConfigError: the arguments name none.
        """
        for flag in ("--resume", "--output", "-o"):
            found = _value(self.arguments, flag)
            if found is not None:
                return found
        raise ConfigError(
            "A cluster job needs to know where its run is, to resume it when the job is "
            "started again.",
            hint="Add --output FOLDER, on storage that all machines share.",
        )

    def shell(self, torchrun: str, cpus: int, folder: str | None = None) -> str:
        """Lines of bash that start the run, or resume it if it was started before.

        Args:
            torchrun: and its options, as bash reads them.
            cpus: of each process; torchrun would give each one thread.
            folder: the folder that paths are relative to, if it is not where the job starts.
        """
        there = f"cd {shlex.quote(folder)}\n" if folder is not None else ""
        config = shlex.quote(str(Path(self.output) / "config.toml"))
        again = shlex.join(["run", "--resume", self.output])
        return (
            f"{there}"
            f'export OMP_NUM_THREADS="${{OMP_NUM_THREADS:-{cpus}}}"\n'
            "export PYTHONSAFEPATH=1\n"  # `python -m` would import from the current folder.
            f"run=({shlex.join(self.arguments)})\n"
            f"if [ -f {config} ]; then run=({again}); fi\n"
            f'{torchrun} -m mmft_core "${{run[@]}}"\n'
        )


class Launcher(ABC):
    """Starts one job, or writes a file that does."""

    submit: ClassVar[str] = "bash"
    """The command that submits a file of its `text`."""

    @abstractmethod
    def text(self, file: Path | None = None) -> str:
        """The job file, or the command that starts the job.

        Args:
            file: to which it is written; None if it is only shown.

        Raises:
            ConfigError: an option has an invalid value.
        """

    def start(self) -> int:
        """Start the job, or hand it to what starts it.

        Returns:
            the exit code of `mmft launch`.

        Raises:
            ConfigError: it only writes job files, as by default.
        """
        raise ConfigError(
            "A job file has to be written, and submitted.",
            hint="Add --file FILE to write it, or --show to see it.",
        )


def make_job(
    arguments: Sequence[str],
    machines: int,
    processes: int | None,
    gpus: int | None,
    meet: str | None = None,
) -> Job:
    """A job as a user describes it.

    Args:
        processes: of each machine; None for as many as there are GPUs.
        gpus: of each machine; None for as many as there are processes.

    Raises:
        ConfigError: several processes cannot do it together.
    """
    if not arguments or arguments[0] != "run":
        given = f"`mmft {shlex.join(arguments)}`" if arguments else "nothing"
        raise ConfigError(
            f"Several processes can only do `mmft run` together, but {given} was given.",
            hint="For example: mmft launch --processes 2 -- run --task image-cls --backbone "
            "resnet50",
        )
    if meet is not None and not _MEETING.fullmatch(meet):
        raise ConfigError(
            f"--meet {meet} is not HOST:PORT.", hint=f"For example: --meet node1:{PORT}"
        )
    if processes is None and gpus is None:
        import torch

        processes = gpus = torch.cuda.device_count()
        if not processes:
            raise ConfigError(
                "There is no GPU here, so it is not clear how many processes to start.",
                hint="Give --processes N.",
            )
    each = processes if processes is not None else gpus or 1
    return Job(
        arguments=tuple(arguments),
        machines=machines,
        processes=each,
        gpus=each if gpus is None else gpus,
        meet=meet,
    )


def _value(arguments: Sequence[str], flag: str) -> str | None:
    """What a flag is given, as `--flag VALUE` or `--flag=VALUE`."""
    for k, argument in enumerate(arguments):
        if argument == flag and k + 1 < len(arguments):
            return arguments[k + 1]
        if flag.startswith("--") and argument.startswith(f"{flag}="):
            return argument.partition("=")[2]
    return None
