"""Evaluation and prediction with a finished run, or an export of one.

`mmft eval`, `mmft predict` and `mmft.Run` in Python use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mmft_core.config.callback_choice import without_callbacks
from mmft_core.config.engine_config import EngineConfig
from mmft_core.config.options import as_written, convert
from mmft_core.config.resolving import make_plan, with_data
from mmft_core.config.trees import Tree, merge
from mmft_core.contracts import Callback, Dataset, Split
from mmft_core.engine.evaluation import Evaluation
from mmft_core.errors import ConfigError, DataError, UnknownComponentError, with_install_hint
from mmft_core.inference import opening
from mmft_core.inference.predictor import Predictor, choose_split
from mmft_core.precision import Inference
from mmft_core.registry import Registry
from mmft_core.run.artifacts import LoadedModel
from mmft_core.run.build import build_metrics, tell_warnings
from mmft_core.run.directory import RunDirectory
from mmft_core.run.named_data import named_data, tell_learned
from mmft_core.run.own_data import OwnData


@dataclass(frozen=True, kw_only=True)
class FinishedEvaluation:
    """An evaluation, with the split and the device and precision that it was made on."""

    split: str
    evaluation: Evaluation
    inference: Inference


def evaluate_finished(
    path: Path,
    registry: Registry,
    display: Callback,
    *,
    dataset: str | None = None,
    split: str | None = None,
    metrics: Sequence[str] = (),
    batch_size: int | None = None,
    on_bad_sample: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> FinishedEvaluation:
    """Evaluate a finished run or an export.

    Args:
        path: of the run, of an export, or of a file of one.
        dataset: other data than the run's own: a name or a path.
        split: train, val, test or "all"; None for the test split of the run's own data, and for
            all of other data.
        metrics: instead of the run's.
        batch_size: instead of the run's.
        on_bad_sample: "fail" or "skip" instead of the run's.
        settings: of task, dataset and engine, as nested tables.

    Raises:
        MmftError: the run cannot be loaded, or the data cannot be used.
    """
    folder = opening.place(path)
    directory, settings = RunDirectory(folder), dict(settings or {})
    own = without_callbacks(directory.open())
    with as_written(), _told_what_to_install(directory, registry):
        of_run = make_plan(own, registry)
    with as_written():
        tree = own if dataset is None else with_data(own, dataset, registry)
    tree = merge(tree, settings)
    if metrics:
        tree["metrics"] = list(metrics)
    if batch_size is not None:
        tree = merge(tree, {"engine": {"batch_size": batch_size}})
    if on_bad_sample is not None:
        tree["on_bad_sample"] = on_bad_sample
    with as_written():
        plan = make_plan(tree, registry)
    model = opening.load(folder, registry, settings)
    check_engine(model, settings)
    if dataset is None:
        own_data = OwnData.for_use(directory, of_run, plan)
        data = own_data.dataset
        name = split or _default_split(data)
        own_data.check(name)
    else:
        name = split or "all"
        data = named_data(directory, of_run, plan, name, display.on_message)
        tell_learned(directory, plan, choose_split(data, name), display.on_message)
    tell_warnings(data, display.on_message)
    predictor = Predictor(model, plan.engine)
    evaluation = predictor.evaluate(
        data,
        name,
        build_metrics(plan.metrics, model.info),
        display,
        skip_bad=plan.on_bad_sample == "skip",
    )
    return FinishedEvaluation(split=name, evaluation=evaluation, inference=predictor.inference)


@contextmanager
def _told_what_to_install(directory: RunDirectory, registry: Registry) -> Iterator[None]:
    """Have errors about components of the run that are not installed say what to install."""
    try:
        yield
    except UnknownComponentError as error:
        raise with_install_hint(error, "run", directory.lacking(registry)) from None


def _default_split(data: Dataset) -> str:
    """The split that a run is evaluated on unless the user names one.

    Raises:
        DataError: it was trained on all of its data.
    """
    for name in ("test", "val"):
        if name in data.splits:
            return name
    raise DataError(
        f"Dataset '{data.info.name}' has neither a test nor a val split.",
        hint="Give --split train, or other data with --dataset.",
    )


def samples_of(
    path: Path,
    dataset: str,
    split: str,
    registry: Registry,
    settings: Tree,
    say: Callable[[str], None],
) -> Split:
    """The samples of a data set, read as a finished run's task reads them.

    For the run's own data, those are the samples of the run's split.

    Args:
        path: of the run.
        dataset: a name or a path.
        settings: of the data set, as nested tables.
        say: called with what a user should know about the data.
    """
    directory = RunDirectory(path)
    tree = without_callbacks(directory.open())
    with as_written(), _told_what_to_install(directory, registry):
        own = make_plan(tree, registry)
        plan = make_plan(merge(with_data(tree, dataset, registry), settings), registry)
    data = named_data(directory, own, plan, split, say, targets=False)
    tell_warnings(data, say)
    return choose_split(data, split)


def make_predictor(model: LoadedModel, settings: Tree, batch_size: int) -> Predictor:
    """A predictor of a loaded model.

    Args:
        settings: nested tables, of which only `engine` is used: precision, device, workers.

    Raises:
        ConfigError: a setting is wrong, or the model cannot compute in this way.
    """
    check_engine(model, settings)
    given = {**settings.get("engine", {}), "batch_size": batch_size}
    return Predictor(model, convert(given, EngineConfig, "engine"))


def check_engine(model: LoadedModel, settings: Mapping[str, Any]) -> None:
    """Raises:
    ConfigError: a precision is asked for that the model, or this machine, does not compute in.
    """
    wanted = settings.get("engine", {}).get("precision")
    if model.exported and wanted in ("bf16", "fp16"):
        raise ConfigError(
            f"engine.precision = '{wanted}' is only for runs; an export has a fixed precision.",
            hint="Leave it out, or give the run.",
        )
    if wanted == "fp16" and not torch.cuda.is_available():
        raise ConfigError(
            "engine.precision = 'fp16' needs a GPU.", hint="Use bf16, fp32 or auto on a CPU."
        )
