"""Merging the weights of several runs, with PEFT's functions.

What a run has learned is the difference between its weights, with adapters merged, and the weights
that it started from. Linear merging is the weighted sum of these differences (Wortsman et al.,
2022, "Model soups"; Ilharco et al., 2023, "Editing Models with Task Arithmetic"). TIES first drops
small differences and those whose sign disagrees with the majority (Yadav et al., 2023,
"TIES-Merging").
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmft_core import Registry
from mmft_core.config import Plan, as_written, resolve, with_data, without_callbacks
from mmft_core.contracts import Backbone, BackboneContext, Callback, Dataset
from mmft_core.engine import kept_weights
from mmft_core.errors import DataError, IncompatibleError
from mmft_core.inference import Predictor
from mmft_core.run import (
    LoadedModel,
    OwnData,
    RunDirectory,
    artifacts,
    build_component,
    build_metrics,
    named_data,
)
from mmft_core.utils import write_json


@dataclass(frozen=True)
class Way:
    """How runs are merged.

    Attributes:
        method: "linear" or "ties".
        weights: of each run's difference from the base.
        density: the share of each tensor that TIES keeps.
    """

    method: str
    weights: Sequence[float]
    density: float

    @staticmethod
    def usual(method: str, count: int) -> tuple[float, ...]:
        """The default weights."""
        return (1.0 if method == "ties" else 1 / count,) * count

    def joined(self, differences: Sequence[Tensor]) -> Tensor:
        """The merged difference of all runs; all have the same shape."""
        from peft.utils import merge_utils

        weights = torch.tensor(self.weights, dtype=differences[0].dtype)
        if self.method == "ties":
            return merge_utils.ties(list(differences), weights, self.density)
        return merge_utils.task_arithmetic(list(differences), weights)


@dataclass(frozen=True)
class Merged:
    """The outcome of a merge.

    Attributes:
        split: the split that all models were evaluated on.
        scores: scalar metrics by model: the runs by name, and "merged" last.
        results: the content of the merged model's `results.json`.
    """

    split: str
    scores: Mapping[str, Mapping[str, float | None]]
    results: Mapping[str, Any]


def merge_runs(
    runs: Sequence[Path],
    output: Path,
    way: Way,
    registry: Registry,
    display: Callback,
    *,
    dataset: str | None = None,
    split: str | None = None,
) -> Merged:
    """Merge runs, and evaluate each of them and the merged model.

    Args:
        dataset: data set to evaluate on, a name or a path; None for that of the first run.
        split: split to evaluate on.

    Raises:
        IncompatibleError: they differ in task, network or base weights.
        WeightsError: the base weights are not available.
        RunDirectoryError: one is not a finished run, or the output is not empty.
    """
    RunDirectory(output).ensure_usable()
    for run in runs:
        RunDirectory(run).read_results()
    plan = _plan(runs[0], registry)
    data, name = _data(runs[0], plan, registry, display, dataset, split)
    models = [artifacts.load(run, registry) for run in runs]
    _check_alike(runs, models)
    states = [model.task.state_dict() for model in models]
    scores: dict[str, Mapping[str, float | None]] = {}
    for title, model in zip(_titles(runs), models, strict=True):
        scores[title] = _evaluate(model, plan, data, name, display)
    first = models[0]
    first.task.to("cpu")
    base = _base(runs[0], first, plan)
    _fill(first, [{k: v.cpu() for k, v in state.items()} for state in states], base, way)
    _write(runs, output, first, plan, way)
    merged = artifacts.load(output, registry)
    scores["merged"] = _evaluate(merged, plan, data, name, display)
    results = _results(runs, output, way, name, scores)
    return Merged(name, scores, results)


def _plan(run: Path, registry: Registry) -> Plan:
    with as_written():
        return resolve(without_callbacks(RunDirectory(run).open()), registry)


def _titles(runs: Sequence[Path]) -> list[str]:
    """A distinct name for each run."""
    names = [run.resolve().name for run in runs]
    return names if len(set(names)) == len(names) else [str(run) for run in runs]


def _data(
    run: Path,
    plan: Plan,
    registry: Registry,
    display: Callback,
    dataset: str | None,
    split: str | None,
) -> tuple[Dataset, str]:
    """The data set that all models are evaluated on, and the name of its split.

    Raises:
        DataError: it has no such split, or no split that was not trained on.
    """
    directory = RunDirectory(run)
    if dataset is not None:
        with as_written():
            other = resolve(
                with_data(without_callbacks(directory.open()), dataset, registry), registry
            )
        name = split or "all"
        return named_data.named_data(directory, plan, other, name, display.on_message), name
    own = OwnData.again(directory, plan, plan)
    name = split or next((s for s in ("test", "val") if s in own.dataset.splits), "")
    if not name:
        raise DataError(f"{run} has neither test nor val.", hint="Give --dataset or --split.")
    own.check(name)
    return own.dataset, name


def _check_alike(runs: Sequence[Path], models: Sequence[LoadedModel]) -> None:
    """Raises:
    IncompatibleError: two of them differ in task, network or base weights.
    """
    first = models[0]
    shapes = {name: tensor.shape for name, tensor in first.task.state_dict().items()}
    for run, model in zip(runs[1:], models[1:], strict=True):
        own = {name: tensor.shape for name, tensor in model.task.state_dict().items()}
        same = model.component.qualified == first.component.qualified and own == shapes
        if not same or list(model.info.classes) != list(first.info.classes):
            raise IncompatibleError(
                f"{run} differs from {runs[0]} in task, network or classes.",
                hint="Merge runs of one task, one backbone and the same classes.",
            )
    for modality in first.parts:
        sources = [model.task.backbone(modality).loaded for model in models]
        if any(loaded.source == "random" for loaded in sources):
            raise IncompatibleError(
                f"The {modality} backbone of a run started from random weights, so the runs do not "
                "share base weights.",
                hint="Start the runs from the same weights: --weights PATH, or another run.",
            )
        kinds = {(loaded.source, loaded.digest or "") for loaded in sources}
        if len({source for source, _ in kinds}) > 1 or len({d for _, d in kinds if d}) > 1:
            named = " and ".join(sorted({source for source, _ in kinds}))
            raise IncompatibleError(
                f"The {modality} backbones of the runs started from different weights: {named}.",
                hint="Start the runs from the same weights.",
            )


def _base(run: Path, model: LoadedModel, plan: Plan) -> dict[str, Tensor]:
    """The weights that the runs started from, by their names in the task."""
    found: dict[str, Tensor] = {}
    for modality, part in model.parts.items():
        context = BackboneContext(
            weights=kept_weights.fetch_again(model.task.backbone(modality).loaded, modality),
            info=model.info,
            needs=plan.task.spec.needs_of(modality),
        )
        backbone = build_component(part.component, part.options, context, Backbone)
        for name, tensor in backbone.state_dict().items():
            found[f"backbones.{modality}.{name}"] = tensor.cpu()
    return found


def _fill(
    model: LoadedModel,
    states: Sequence[Mapping[str, Tensor]],
    base: Mapping[str, Tensor],
    way: Way,
) -> None:
    """Load the merged weights into a model. Tensors that the base lacks, such as a head's, are
    averaged."""
    merged = {}
    for name, tensor in states[0].items():
        own = [state[name].float() for state in states]
        if not tensor.is_floating_point():
            merged[name] = tensor
            continue
        start = base.get(name)
        if start is not None and start.shape == tensor.shape:
            whole = start.float() + way.joined([one - start.float() for one in own])
        else:
            whole = torch.stack(own).mean(0)
        merged[name] = whole.to(tensor.dtype)
    model.task.load_state_dict(merged)
    for modality in model.parts:
        backbone = model.task.backbone(modality)
        backbone.loaded = replace(backbone.loaded, digest="")  # It is kept whole.


def _evaluate(
    model: LoadedModel, plan: Plan, data: Dataset, split: str, display: Callback
) -> dict[str, float | None]:
    predictor = Predictor(model, plan.engine)
    metrics = build_metrics(plan.metrics, model.info)
    skips = plan.on_bad_sample == "skip"
    return predictor.evaluate(data, split, metrics, display, skip_bad=skips).single


def _write(runs: Sequence[Path], output: Path, model: LoadedModel, plan: Plan, way: Way) -> None:
    """Write the merged run except for its results."""
    first, made = RunDirectory(runs[0]), RunDirectory(output)
    output.mkdir(parents=True, exist_ok=True)
    made.write_config(plan)
    for name in (first.plugins, first.data, first.samples):
        if name.is_file():
            shutil.copy2(name, output / name.name)
    artifacts.save(made.model, model.task, plan, model.info)


def _results(
    runs: Sequence[Path],
    output: Path,
    way: Way,
    split: str,
    scores: Mapping[str, Mapping[str, float | None]],
) -> dict[str, Any]:
    """The first run's results, with the metrics of the merged model and how it was made."""
    results = RunDirectory(runs[0]).read_results()
    results["metrics"] = {split: dict(scores["merged"])}
    results["remarks"], results["kinds"] = {}, {}
    results["merged"] = {
        "runs": [str(run) for run in runs],
        "method": way.method,
        "weights": list(way.weights),
        **({"density": way.density} if way.method == "ties" else {}),
        "scores": {name: dict(values) for name, values in scores.items()},
    }
    write_json(RunDirectory(output).results, results)
    return results
