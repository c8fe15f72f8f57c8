"""Fine-tuning from Python: `run`, `resume`, and what cross-validation gives."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mmft.finished import Report, Run, as_path, names_of
from mmft.tables import Data, place_of
from mmft.wording import in_python
from mmft_core import Registry, discover
from mmft_core.config import (
    OLD_TABLE,
    SHORT,
    TOP_LEVEL,
    Plan,
    Tree,
    as_written,
    did_you_mean_setting,
    flatten,
    make_plan,
    merge,
    nest,
    option_settings,
    outside,
    refuse_idle,
    settings_of,
    take_output,
)
from mmft_core.errors import ConfigError
from mmft_core.run import default_output, resumed_tree

if TYPE_CHECKING:
    from mmft_core.contracts import Callback


@dataclass(frozen=True)
class CrossValidation:
    """What came of `mmft.run(..., folds=K)`.

    Attributes:
        path: the folder.
        metrics: by split and name: {"mean": ..., "std": ..., "folds": [...]}.
        runs: a run for each fold.
    """

    path: Path
    metrics: dict[str, dict[str, Any]]
    runs: tuple[Run, ...]

    @property
    def report(self) -> Report:
        """The page that compares the folds."""
        return Report(self.path / "report.html")


_HINTS = {
    "metric": 'Metrics are named by metrics=["accuracy"]; **{"metric.NAME.OPTION": ...} sets an '
    "option of one.",
    "track": 'Trackers are callbacks: callbacks=["NAME"].',
    "callback": 'Callbacks are given by callbacks=["NAME"].',
    "dry_run": "On the command line, `mmft run --dry-run` shows all settings of a run.",
    "resume": "mmft.resume(path) resumes a run.",
    "model": "A backbone is named by backbone=.",
    "data": "Data are given by dataset=.",
    "group": '**{"dataset.group_column": NAME} names the column of groups.',
}
"""What to give in place of arguments that there are not."""


@in_python()
def run(
    *,
    task: str | None = None,
    backbone: str | Mapping[str, str] | None = None,
    dataset: str | os.PathLike[str] | Data | None = None,
    metrics: str | Sequence[str] = (),
    weights: str | Mapping[str, str] | None = None,
    tune: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    seed: int | None = None,
    folds: int | None = None,
    on_bad_sample: Literal["fail", "skip"] | None = None,
    config: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    callbacks: str | Sequence[Callback | str] = (),
    progress: bool = True,
    **settings: Any,
) -> Run | CrossValidation:
    """Fine-tune a backbone on a data set and evaluate it, as `mmft run` does.

    Args:
        task: what to learn, such as "image-cls".
        backbone: a name, such as "resnet50"; by modality where there are several:
            {"image": "resnet18", "text": "minilm"}.
        dataset: a name, the path of a folder or a table, or data in memory: a pandas DataFrame, a
            `datasets.Dataset`, a list of dictionaries, or a mapping from the names of splits to
            any of these. Data in memory are kept as a table in the user's cache.
        metrics: names, instead of the task's own.
        weights: what to start from: "auto", "pretrained", "none" (random) or a path; by modality
            as a mapping.
        tune: which weights to train: "full", "head", "last=N", "gradual" or "lora".
        epochs: passes over the training data.
        batch_size: samples in a forward pass, over all processes.
        lr: the peak learning rate.
        seed: the random seed.
        folds: cross-validate over so many folds.
        on_bad_sample: what to do about a sample that cannot be read: "fail" or "skip".
        config: a TOML file of settings; arguments win over it.
        output: the run directory; by default runs/TASK-BACKBONE-TIME.
        callbacks: objects that follow the run, or names of callbacks that plugins offer.
        progress: whether to show a progress display.
        settings: any other setting, as a table or by its dotted key: `engine={"warmup": 0.1}`,
            `**{"backbone.image_size": 128}`. `mmft run --dry-run` lists all of them.

    Returns:
        The finished run; with folds, what came of all of them.

    Raises:
        MmftError: something that the user can mend; see its subclasses.
        KeyboardInterrupt: it was interrupted; `resume` continues from the checkpoint it wrote.
        StopTrainingError: a callback has ended the training.
    """
    registry, callbacks = discover(), _callbacks(callbacks)
    given: dict[str, Any] = {
        "task": task,
        "dataset": None if dataset is None else place_of(dataset),
        "tune": tune,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "seed": seed,
        "folds": folds,
        "on_bad_sample": on_bad_sample,
        "config": None if config is None else as_path(config, "config"),
        "backbone": _choices(backbone),
        "weights": _choices(weights),
        "metric": names_of(metrics),
        "callback": tuple(name for name in callbacks if isinstance(name, str)),
    }
    others = _settings(settings, given, registry)
    tree = settings_of(_plain(given), others, registry, notice)
    path = take_output(tree, None if output is None else as_path(output, "output"))
    plan = make_plan(tree, registry)
    refuse_idle(others, plan)
    names = [part.component.name for part in plan.backbones.values()]
    path = path or default_output(plan.task.component.name, names)
    return _train(plan, registry, path, callbacks, progress=progress, resume=False)


@in_python()
def resume(
    path: str | os.PathLike[str],
    *,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    **settings: Any,
) -> Run | CrossValidation:
    """Go on with a run that was interrupted; on a CPU the result is bit-identical.

    Args:
        path: the run directory.
        callbacks: objects that follow the run, beside the callbacks that it was begun with.
        progress: whether to show a progress display.
        settings: only where files are now, such as `dataset={"path": "/new/place"}`.

    Raises:
        RunDirectoryError: the run is finished, or another process is at it.
        CheckpointError: all checkpoints are damaged.
        DataError: the data have changed.
        KeyboardInterrupt, StopTrainingError: as in `run`.
    """
    registry, path = discover(), as_path(path, "path")
    named = [callback for callback in _callbacks(callbacks) if isinstance(callback, str)]
    if named:
        raise ConfigError(
            f"The callback '{named[0]}' cannot be added to a run that is resumed.",
            hint="Its configuration names its callbacks; give objects.",
        )
    tree = resumed_tree(path, _settings(settings, {}, registry), registry, notice)
    with as_written():
        plan = make_plan(tree, registry)
    return _train(plan, registry, path, _callbacks(callbacks), progress=progress, resume=True)


def _train(
    plan: Plan,
    registry: Registry,
    path: Path,
    callbacks: Sequence[Callback | str],
    *,
    progress: bool,
    resume: bool,
) -> Run | CrossValidation:
    from mmft.display import quiet_or_shown
    from mmft_core.run import FoldsDirectory, cross_validate, runner

    command = f"mmft.{'resume' if resume else 'run'}(...)"
    with quiet_or_shown(progress) as display:
        own = [display, *(c for c in callbacks if not isinstance(c, str))]
        if plan.folds is not None and plan.folds.chosen is None:
            record = cross_validate(plan, path, registry, lambda _: own, command, resume=resume)
            if record is None:
                raise _interrupted(path)
            directory = FoldsDirectory(path)
            runs = tuple(Run(directory.fold(fold["fold"])) for fold in record["runs"])
            return CrossValidation(path, record["figures"], runs)
        outcome = (
            runner.resume(path, plan, own, command)
            if resume
            else runner.train(plan, path, own, command)
        )
    if outcome.results is None:
        raise _interrupted(path)
    return Run(path)


def _interrupted(path: Path) -> KeyboardInterrupt:
    return KeyboardInterrupt(
        f"The run was interrupted; a checkpoint is written. Resume with mmft.resume({str(path)!r})."
    )


def _callbacks(given: Any) -> tuple[Any, ...]:
    """Raises:
    ConfigError: this is not a sequence of callbacks.
    """
    if isinstance(given, str | Sequence):
        return names_of(given)
    raise ConfigError(f"callbacks is {given!r}.", hint="Give a list: callbacks=[...].")


def notice(text: str) -> None:
    """Warn whoever called mmft."""
    warnings.warn(text, stacklevel=outside())


def _settings(settings: Mapping[str, Any], given: Mapping[str, Any], registry: Registry) -> Tree:
    """The settings as a tree.

    Args:
        given: the other arguments by name, of which some are short for a setting.

    Raises:
        ConfigError: there is no such setting, or one is given twice.
    """
    known = {*TOP_LEVEL, OLD_TABLE}
    names: dict[str, str] = {
        SHORT[name]: f"{name}=" for name in given.keys() & SHORT.keys() if given[name] is not None
    }
    tree: Tree = {}
    for key, value in settings.items():
        top, below = key.partition(".")[0], nest({key: _plain(value)})
        if top not in known or (top in _HINTS and not isinstance(below[top], Mapping)):
            chosen = settings_of(_plain(given), {}, registry, notice)
            arguments = (name for name in given if name not in _HINTS)
            options = option_settings(chosen, registry)
            near = did_you_mean_setting(top, [*arguments, *known, *options])
            raise ConfigError(
                f"There is no argument or setting '{key}'.{near}",
                hint=_HINTS.get(top)
                or 'Settings are given by their dotted names: **{"engine.warmup": 0.1}.',
            )
        for setting in flatten(below):
            called = f"{top}={{...}}" if isinstance(value, Mapping) else f'"{key}"'
            if setting in names:
                raise ConfigError(
                    f"{setting} is given twice, by {names[setting]} and by {called}.",
                    hint="Leave one of them out.",
                )
            names[setting] = called
        tree = merge(tree, below)
    return tree


def _plain(settings: Any) -> Any:
    """Settings with plain numbers in place of NumPy's."""
    if isinstance(settings, Mapping):
        return {key: _plain(value) for key, value in settings.items()}
    return settings.item() if hasattr(settings, "item") else settings


def _choices(given: str | Mapping[str, str] | None) -> tuple[str, ...]:
    """As the command line has it: MODALITY=NAME."""
    if given is None:
        return ()
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"{given!r} is neither a name nor a mapping.",
            hint='Give "resnet50", or by modality {"image": "resnet18", "text": "minilm"}.',
        )
    return tuple(f"{modality}={name}" for modality, name in given.items())
