"""Errors for folders that are not the run that a command needs, such as a model or an export."""

from __future__ import annotations

import shlex
from pathlib import Path

from mmft_core.errors import RunDirectoryError

_GIVE_A_RUN = "Give a folder that `mmft run` made; `mmft runs` lists those in runs/."


def is_model(path: Path) -> bool:
    """Whether a folder is a model without a run. A run keeps its model in a subfolder."""
    return (path / "model.json").is_file()


def refuse_missing(path: Path) -> None:
    """Raises:
    RunDirectoryError: there is no such folder.
    """
    if path.is_dir():
        return
    if path.exists():
        raise RunDirectoryError(f"{path} is a file, not a run.", hint="Give the run's folder.")
    below = Path("runs") / path
    hint = f"Is it {shlex.quote(str(below))}?" if below.is_dir() else _GIVE_A_RUN
    raise RunDirectoryError(f"There is no folder {path}.", hint=hint)


def refuse_export(path: Path) -> None:
    """Raises:
    RunDirectoryError: the folder is an export.
    """
    if (path / "export.json").is_file():
        raise _no_run(f"{path} is an export, not a run.")


def refuse_model(path: Path) -> None:
    """Raises:
    RunDirectoryError: the folder is an export or a published model.
    """
    refuse_export(path)
    if is_model(path):
        raise _no_run(f"{path} is a published model, not a run.")


def refuse_folds(path: Path) -> None:
    """Raises:
    RunDirectoryError: the folder is a cross-validation, which has no model of its own.
    """
    if (path / "folds.json").is_file():
        raise RunDirectoryError(
            f"{path} is a cross-validation, which has a model for each fold but none of its own.",
            hint=f"Give a fold, such as {shlex.quote(str(path / 'fold-1'))}, or train one model on "
            f"all data: {without_folds(path)}",
        )


def refuse_without_model(path: Path) -> None:
    """Raises:
    RunDirectoryError: the folder holds no model: its run has not ended, or it holds no run.
    """
    if is_model(path) or is_model(path / "model"):
        return
    if not (path / "config.toml").is_file():
        raise RunDirectoryError(f"{path} holds neither a run nor a model.", hint=_GIVE_A_RUN)
    raise RunDirectoryError(
        f"There is no finished model in {path}.",
        hint=f"Continue an interrupted run with `mmft run --resume {shlex.quote(str(path))}`.",
    )


def without_folds(path: Path) -> str:
    """The command that trains one model on all data of a cross-validation."""
    return f"mmft run -c {shlex.quote(str(path / 'config.toml'))} --set folds=none"


def _no_run(message: str) -> RunDirectoryError:
    return RunDirectoryError(message, hint="Give the run that it was made from.")
