"""The weights of several runs as those of one, by PEFT's functions for that.

What a run has learned is the difference of its weights, adapters merged into them, from the weights
that it started from. Linear: these differences are added up by their weights (Wortsman et al.,
2022, "Model soups"; Ilharco et al., 2023, "Editing Models with Task Arithmetic"). TIES drops the
smaller ones and those against the majority's sign before (Yadav et al., 2023, "TIES-Merging"). DARE
drops them at random, and makes up for it in the others (Yu et al., 2023, "Language Models are Super
Mario").

Runs that all keep adapters apart from the same weights become one that does so too.
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
from mmft_core.inference import Predictor, load_beside
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
from mmft_merge.adapters import join_adapters


@dataclass(frozen=True)
class Way:
    """How runs are merged.

    Attributes:
        method: "linear", "ties", "dare" or "dare-ties".
        weights: of each run's difference from the base.
        density: the share of each tensor that is kept, by all but linear.
        whole: whether whole weights are written even where all runs keep adapters.
    """

    method: str
    weights: Sequence[float]
    density: float
    whole: bool = False

    @staticmethod
    def usual(method: str, count: int) -> tuple[float, ...]:
        """The weights that are used unless others are given."""
        return (1.0 if method in ("ties", "dare-ties") else 1 / count,) * count

    def joined(self, differences: Sequence[Tensor]) -> Tensor:
        """One difference of those of all runs, each of the same shape."""
        from peft.utils import merge_utils

        weights = torch.tensor(self.weights, dtype=differences[0].dtype)
        own = list(differences)
        match self.method:
            case "ties":
                return merge_utils.ties(own, weights, self.density)
            case "dare":
                return merge_utils.dare_linear(own, weights, self.density)
            case "dare-ties":
                return merge_utils.dare_ties(own, weights, self.density)
        return merge_utils.task_arithmetic(own, weights)


@dataclass(frozen=True)
class Merged:
    """What came of it.

    Attributes:
        split: the split that all models were evaluated on.
        adapters: whether the merged model's adapters are kept apart from their base weights.
        scores: the single metrics by model: the runs by their names, and "merged" last.
        results: of the merged model, as `results.json` has them.
    """

    split: str
    adapters: bool
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
        dataset: data set to evaluate on, a name or a path; None for the first run's own.
        split: split to evaluate on.

    Raises:
        IncompatibleError: they are not of the same task, network and base weights.
        WeightsError: the base weights cannot be had.
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
    apart = not way.whole and all(_keeps_adapters(run, first) for run in runs)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # What DARE drops.
        held = [{k: v.cpu() for k, v in state.items()} for state in states]
        if apart:
            others = {str(number): run for number, run in enumerate(runs[1:])}
            first, _ = load_beside(runs[0], others, registry, {})
            join_adapters(first, held, way)
        else:
            first.task.to("cpu")
            _fill(first, held, _base(runs[0], first, plan), way)
    _write(runs, output, first, plan)
    merged = artifacts.load(output, registry)
    scores["merged"] = _evaluate(merged, plan, data, name, display)
    results = _results(runs, output, way, name, scores)
    return Merged(name, apart, scores, results)


def _keeps_adapters(run: Path, model: LoadedModel) -> bool:
    """Whether a run keeps the adapters of all its backbones apart from their base weights."""
    return all((RunDirectory(run).model / "adapter" / m).is_dir() for m in model.parts)


def _plan(run: Path, registry: Registry) -> Plan:
    with as_written():
        return resolve(without_callbacks(RunDirectory(run).open()), registry)


def _titles(runs: Sequence[Path]) -> list[str]:
    """Names of runs that differ."""
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
    """What all are evaluated on, and its split.

    Raises:
        DataError: it has no such split, or none that was not learned from.
    """
    directory = RunDirectory(run)
    if dataset is not None:
        with as_written():
            other = resolve(
                with_data(without_callbacks(directory.open()), dataset, registry), registry
            )
        name = split or "all"
        return named_data.named_data(directory, plan, other, name, display.on_message), name
    own = OwnData.for_use(directory, plan, plan)
    name = split or next((s for s in ("test", "val") if s in own.dataset.splits), "")
    if not name:
        raise DataError(f"{run} has neither test nor val.", hint="Give --dataset or --split.")
    own.check(name)
    return own.dataset, name


def _check_alike(runs: Sequence[Path], models: Sequence[LoadedModel]) -> None:
    """Raises:
    IncompatibleError: two of them do not have the same task, network and base weights.
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
                f"The {modality} backbone of a run started from random weights, so the runs have "
                "no base in common.",
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
    """Give a model the merged weights. What the base lacks, such as a head, is averaged."""
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


def _write(runs: Sequence[Path], output: Path, model: LoadedModel, plan: Plan) -> None:
    """Write the run, but for its results."""
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
        **({} if way.method == "linear" else {"density": way.density}),
        "scores": {name: dict(values) for name, values in scores.items()},
    }
    write_json(RunDirectory(output).results, results)
    return results
