"""A run that may have been begun before: kept, gone on with, or started."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmft_core import runner
from mmft_core.config.options import as_written
from mmft_core.config.places import in_places_of
from mmft_core.config.plan import Plan
from mmft_core.config.resolving import resolve
from mmft_core.contracts.callbacks import Callback
from mmft_core.distributed import processes
from mmft_core.registry import Registry
from mmft_core.run_directory import RunDirectory


def bring_to_end(
    plan: Plan,
    path: Path,
    registry: Registry,
    callbacks: Sequence[Callback] = (),
    command: str = "",
) -> dict[str, Any] | None:
    """Do whatever is left to do of a run in a folder that holds nothing else.

    A finished run is kept. One that was begun goes on, with the settings that it was begun with;
    only where its data lie, the plan says.

    Returns:
        Its results; None if it was interrupted by Ctrl-C or SIGTERM.

    Raises:
        MmftError: as `runner.train` and `runner.resume` do.
    """
    directory = RunDirectory(path)
    finished, begun = processes.from_main(lambda: _state(directory))
    if finished:
        return directory.read_results()
    if begun:
        with as_written():
            settings = in_places_of(resolve(directory.open(), registry), plan)
        return runner.resume(path, settings, callbacks, command).results
    return runner.train(plan, path, callbacks, command).results


def _state(directory: RunDirectory) -> tuple[bool, bool]:
    """Whether a run is finished, and whether it was begun."""
    return directory.results.is_file(), directory.config.is_file()
