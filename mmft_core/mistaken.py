"""Folders that hold a model alone, exported or published, and are taken for runs."""

from __future__ import annotations

from pathlib import Path

from mmft_core.errors import RunDirectoryError


def is_model(path: Path) -> bool:
    """Whether a folder holds a model alone. A run has its own one folder deeper."""
    return (path / "model.json").is_file()


def refuse_export(path: Path) -> None:
    """Raises:
    RunDirectoryError: this is an export.
    """
    if (path / "export.json").is_file():
        raise _no_run(f"{path} is an export, and no run.")


def refuse_model(path: Path) -> None:
    """Raises:
    RunDirectoryError: this is an export, or a folder that `mmft publish` made.
    """
    refuse_export(path)
    if is_model(path):
        raise _no_run(f"{path} is a model that was published, and no run.")


def _no_run(message: str) -> RunDirectoryError:
    return RunDirectoryError(message, hint="Give the run that it is of.")
