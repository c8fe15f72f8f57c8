"""The configuration of a resumed run."""

from __future__ import annotations

from pathlib import Path

from mmft_core.config.given import Notice, resumed_settings
from mmft_core.config.trees import Tree
from mmft_core.errors import RunDirectoryError
from mmft_core.registry import Registry
from mmft_core.run.directory import RunDirectory
from mmft_core.run.validation import refuse_model, without_folds


def resumed_tree(path: Path, given: Tree, registry: Registry, notice: Notice) -> Tree:
    """The configuration of a run to resume; settings given by the user must not contradict it.

    Raises:
        RunDirectoryError: there is no such run, or it is finished.
        ConfigError: a given setting contradicts it.
    """
    refuse_model(path)
    directory = RunDirectory(path)
    stored = directory.open()
    if directory.results.exists():
        raise directory.already_finished()
    if _finished_folds(path, stored):
        raise RunDirectoryError(
            f"All folds of {path} are finished.",
            hint=f"For a model of all its training data: {without_folds(path)}",
        )
    return resumed_settings(path, stored, given, registry, notice)


def _finished_folds(path: Path, stored: Tree) -> bool:
    if "folds" not in stored or "fold" in stored:
        return False
    from mmft_core.run.cross_validation import FoldsDirectory

    return FoldsDirectory(path).finished()
