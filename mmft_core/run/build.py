"""Building what a plan names: dataset, backbones, task and metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from mmft_core.config.plan import Plan, PlanPart
from mmft_core.contracts import (
    Backbone,
    BackboneContext,
    Dataset,
    DatasetContext,
    DatasetInfo,
    Metric,
    MetricContext,
    Processor,
    ShowingLearned,
    TargetCodec,
    Task,
    TaskContext,
)
from mmft_core.contracts.returned import check_splits
from mmft_core.data.folds import in_folds
from mmft_core.data.number_targets import target_scale
from mmft_core.engine import kept_weights, tuning
from mmft_core.errors import DataError, MmftError, PluginError, WeightsError
from mmft_core.loading.prepared import seed_everything
from mmft_core.plugin_errors import FAULT, describe_error, kind_of, with_article
from mmft_core.registry import Component
from mmft_core.specs import BackboneSpec, MetricSpec, read_by
from mmft_core.utils.cache import memory_tables
from mmft_core.weights import LoadedWeights, WeightsRequest, check_finite

T = TypeVar("T")

_TASK = "_task"
"""The folder of the task's assets, beside those of the backbones."""


def build_dataset(plan: Plan, *, training: bool = True, targets: bool = True) -> Dataset:
    """Build the data set; for training, it is divided into the plan's folds.

    Args:
        training: whether a model is trained on it; otherwise a trained model is used on it.
        targets: whether targets are needed.

    Raises:
        DataError: the data set is missing or cannot be used.
    """
    component = plan.dataset.component
    context = dataset_context(plan, training=training, targets=targets)
    dataset = build_component(component, plan.dataset.options, context, Dataset)
    check_splits(component.full_name, dataset, context.modalities)
    # Nothing can be evaluated on an empty split; without one of train it is told what is missing.
    held = {n: split for n, split in dataset.splits.items() if n == "train" or len(split)}
    if len(held) < len(dataset.splits):
        dataset = replace(dataset, splits=held)
    if dataset.info.name.startswith(str(memory_tables())):
        dataset = replace(dataset, info=replace(dataset.info, name="data in memory"))
    if training and not len(dataset.splits.get("train", ())):
        raise DataError(f"Dataset '{dataset.info.name}' has no training samples.")
    if training and plan.folds is not None:
        unseen = plan.task.spec.unseen_classes
        dataset = in_folds(dataset, plan.folds, plan.engine.seed, unseen_classes=unseen)
    return with_scale(dataset) if training and context.target == "number" else dataset


def tell_warnings(dataset: Dataset, say: Callable[[str], None]) -> None:
    """Print the warnings of a data set."""
    for warning in dataset.info.warnings:
        say(warning)


def dataset_context(plan: Plan, *, training: bool = True, targets: bool = True) -> DatasetContext:
    """The context of the data set; see `build_dataset`."""
    target = plan.task.spec.target
    if not targets and "none" in plan.dataset.spec.targets:
        target = "none"
    return DatasetContext(
        target=target,
        modalities=read_by(m for m in plan.backbones if m not in plan.task.spec.writes),
        partial=plan.task.spec.partial_for(plan.backbones),
        seed=plan.engine.seed,
        unseen_classes=plan.task.spec.unseen_classes,
        training=training,
        learned=plan.task.spec.target if target == "none" else "",
    )


def with_scale(dataset: Dataset) -> Dataset:
    """A data set of numbers, with the scale of its training targets filled in."""
    scale = target_scale(dataset.splits["train"])
    return replace(dataset, info=replace(dataset.info, target_scale=scale))


def build_task(
    plan: Plan,
    dataset: Dataset,
    say: Callable[[str], None],
    loaded: Mapping[str, LoadedWeights] | None = None,
    assets: Path | None = None,
) -> Task:
    """Build the backbones and the task on top of them, identically for the same seed.

    They are ready to be trained as the plan says.

    Args:
        say: called if a backbone starts from random weights although pretrained ones were wanted.
        loaded: on resuming, the original source of each backbone's weights; only those that
            checkpoints do not hold are loaded.
        assets: on resuming, the folder that `save_assets` filled.

    Raises:
        WeightsError: the requested weights are not available.
        ConfigError, IncompatibleError: a backbone cannot be trained as the plan says.
    """
    seed_everything(plan.engine.seed)
    backbones: dict[str, Backbone] = {}
    for modality, part in plan.backbones.items():
        context = BackboneContext(
            weights=WeightsRequest(part.weights, modality),
            info=dataset.info,
            needs=plan.task.spec.needs_of(modality),
            train=dataset.splits["train"],
            epochs=plan.engine.passes(len(dataset.splits["train"])),
        )
        if loaded is not None:
            own = assets / modality if assets is not None else None
            backbone = rebuild(part, context, loaded[modality], own)
        else:
            backbone = build_component(part.component, part.options, context, Backbone)
            if backbone.loaded.fell_back:
                say(
                    f"{part.component.name} starts from RANDOM weights: {backbone.loaded.detail} "
                    "Give --weights PATH to load a file, or --weights pretrained to make this an "
                    "error."
                )
            _tell_of_frozen(plan, modality, backbone, say)
            _check_weights(backbone, modality)
            if backbone.quantized:  # Some are packed otherwise as soon as they compute.
                kept_weights.leave_out(backbone, f"The quantized {modality} backbone")
        backbones[modality] = backbone
    own = None if assets is None else task_assets(assets)
    task_context = TaskContext(
        backbones=backbones, info=dataset.info, train=dataset.splits["train"], assets=own
    )
    task = build_component(plan.task.component, plan.task.options, task_context, Task)
    tuning.prepare(task, plan.engine)
    return task


def build_unfilled(plan: Plan, dataset: Dataset) -> Task:
    """Build the task on the meta device, without the values of its weights.

    Everything else, such as a tokenizer, is read or fitted to the data as for a run, so the task's
    processors behave as they will in a run.

    Raises:
        WeightsError: the requested weights are not available.
    """
    backbones: dict[str, Backbone] = {}
    train = dataset.splits["train"]
    with torch.device("meta"):
        for modality, part in plan.backbones.items():
            context = BackboneContext(
                weights=WeightsRequest(part.weights, modality, values=False),
                info=dataset.info,
                needs=plan.task.spec.needs_of(modality),
                train=train,
                epochs=plan.engine.passes(len(train)),
            )
            backbones[modality] = build_component(part.component, part.options, context, Backbone)
        context_of_task = TaskContext(backbones=backbones, info=dataset.info, train=train)
        return build_component(plan.task.component, plan.task.options, context_of_task, Task)


def as_built(plan: Plan, task: Task) -> Plan:
    """The plan with what the backbones found in the data, and for a start from random weights with
    the settings that are recommended for that."""
    backbones = {modality: task.backbone(modality) for modality in task.backbones}
    plan = plan.with_backbone_options({m: own.fitted_options for m, own in backbones.items()})
    untrained = all(own.loaded.source == "random" for own in backbones.values())
    return plan.from_scratch() if untrained else plan


def showing_learned(processors: Iterable[Processor]) -> bool:
    """Whether any of these can say which tokens are learned."""
    return any(isinstance(processor, ShowingLearned) for processor in processors)


def save_assets(task: Task, folder: Path) -> None:
    """Save what backbones and task need besides weights, each to its own folder."""
    for modality in task.backbones:
        assets = folder / modality
        assets.mkdir(parents=True, exist_ok=True)
        task.backbone(modality).save_assets(assets)
    own = folder / _TASK
    own.mkdir(parents=True, exist_ok=True)
    task.save_assets(own)
    if not any(own.iterdir()):
        own.rmdir()


def task_assets(folder: Path) -> Path | None:
    """The task's own assets folder; None if it has saved nothing."""
    return folder / _TASK if (folder / _TASK).is_dir() else None


def _check_weights(backbone: Backbone, modality: str) -> None:
    """Raises:
    WeightsError: loaded weights contain NaN or infinite values.
    """
    try:
        check_finite(backbone)
    except ValueError as error:
        loaded = backbone.loaded
        raise WeightsError(
            f"The weights of the {modality} backbone ({loaded.detail or loaded.source}) cannot be "
            f"used: {error}.",
            hint="They were corrupted in training or are damaged; give others with --weights.",
        ) from None


def _tell_of_frozen(
    plan: Plan, modality: str, backbone: Backbone, say: Callable[[str], None]
) -> None:
    """Warn about random weights that will never be trained, which is hardly intended."""
    modes = plan.engine.tuning.modes(modality, backbone.parts())
    if backbone.loaded.source == "random" and modes <= {"head", "lora"}:
        say(
            f"The {modality} backbone's random weights stay as they are, because engine.tune = "
            f"'{plan.engine.tune}' does not train them; --tune full would."
        )


def rebuild(
    part: PlanPart[BackboneSpec],
    context: BackboneContext,
    loaded: LoadedWeights,
    assets: Path | None,
) -> Backbone:
    """Build a backbone for a resumed run or a saved model.

    Its weights are loaded later, or here if they are not saved with the run.

    Args:
        assets: the folder that `save_assets` filled.

    Raises:
        WeightsError: weights that are not saved are no longer available, or have changed.
    """
    modality = context.weights.modality
    if not loaded.digest:
        request = WeightsRequest("run", modality)
        context = replace(context, weights=request, assets=assets)
        backbone = build_component(part.component, part.options, context, Backbone)
        backbone.loaded = loaded
        return backbone
    request = kept_weights.fetch_again(loaded, modality)
    context = replace(context, weights=request, assets=assets)
    try:
        backbone = build_component(part.component, part.options, context, Backbone)
    except WeightsError as error:
        raise WeightsError(
            f"The base weights of the {modality} backbone, which are not saved with the run, "
            f"can no longer be loaded: {error.message}",
            hint="Restore them; the saved part of the model only works with them.",
        ) from None
    kept_weights.check_same(backbone, loaded)
    return backbone


def build_metrics(
    parts: tuple[PlanPart[MetricSpec], ...], info: DatasetInfo
) -> Mapping[str, Metric]:
    """Build the metrics; returns them by component name."""
    context = MetricContext(info=info)
    return {
        p.component.name: build_component(p.component, p.options, context, Metric) for p in parts
    }


_ATTRIBUTES: Mapping[type, Mapping[str, type]] = {
    Dataset: {"info": DatasetInfo, "splits": Mapping},
    Backbone: {"processor": Processor, "width": int, "loaded": LoadedWeights},
    Task: {"backbones": nn.ModuleDict, "codec": TargetCodec},
}
"""Attributes that a built object must have by its contract, and that are easily forgotten."""


def build_component(component: Component[Any], options: Any, context: Any, wanted: type[T]) -> T:
    """Build a component, and check that the result has the type of its kind.

    Raises:
        PluginError: the result has another type.
    """
    what = component.full_name
    try:
        built = component.build(options, context)
    except Exception as error:
        if torch.get_default_device().type == "meta" and not isinstance(error, MmftError):
            package = component.spec.build.partition(".")[0].partition(":")[0]
            raise PluginError(
                f"The {what} cannot be built on torch's meta device, as exports are: "
                f"{describe_error(error, package)}.",
                hint="Its constructor must not look at the values of tensors; the conformance kit "
                "of mmft_testing checks this.",
            ) from error
        error.add_note(f"It occurred while building the {what}.")
        raise
    if not isinstance(built, wanted):
        raise PluginError(
            f"The {what} built {kind_of(built)}, not a {wanted.__name__}.",
            hint=FAULT,
        )
    for name, kind in _ATTRIBUTES.get(wanted, {}).items():
        if not isinstance(getattr(built, name, None), kind):
            raise PluginError(
                f"The {what} has no `{name}` that is {with_article(kind.__name__)}.",
                hint=FAULT,
            )
    if isinstance(built, Backbone | Task | Metric):
        built.component = what
    return built
