"""Building what a plan names: dataset, backbones, task and metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmft_core.contracts import (
    Backbone,
    BackboneContext,
    Dataset,
    DatasetContext,
    DatasetInfo,
    Metric,
    MetricContext,
    Task,
    TaskContext,
)
from mmft_core.data import seed_everything
from mmft_core.errors import DataError, PluginError
from mmft_core.plan import Part, Plan
from mmft_core.registry import Component
from mmft_core.specs import MetricSpec
from mmft_core.weights import LoadedWeights, WeightsRequest


def build_dataset(plan: Plan, *, training: bool = True) -> Dataset:
    """Build the dataset.

    Args:
        training: to learn from; else a model that was trained on others is judged on it.

    Raises:
        DataError: it is missing or cannot be used.
    """
    dataset = plan.dataset.component.build(
        plan.dataset.options,
        DatasetContext(target=plan.task.spec.target, seed=plan.engine.seed, training=training),
    )
    if not isinstance(dataset, Dataset):
        raise _wrong_type(plan.dataset.component, dataset, Dataset)
    if training and not len(dataset.splits.get("train", ())):
        raise DataError(f"Dataset '{dataset.info.name}' has no training samples.")
    return dataset


def build_task(
    plan: Plan,
    dataset: Dataset,
    say: Callable[[str], None],
    loaded: Mapping[str, LoadedWeights] | None = None,
) -> Task:
    """Build the backbones and the task on top of them, the same for the same seed.

    Args:
        loaded: on resuming, where each backbone's weights once came from; none are loaded now.
        say: told when a backbone starts from random weights although others were wished for.

    Raises:
        WeightsError: the weights that were asked for cannot be had.
    """
    seed_everything(plan.engine.seed)
    backbones: dict[str, Backbone] = {}
    for modality, part in plan.backbones.items():
        context = BackboneContext(
            weights=WeightsRequest("run" if loaded else part.weights, modality),
            info=dataset.info,
            train=dataset.splits["train"],
        )
        backbone = part.component.build(part.options, context)
        if not isinstance(backbone, Backbone):
            raise _wrong_type(part.component, backbone, Backbone)
        if loaded:
            backbone.loaded = loaded[modality]
        elif backbone.loaded.fell_back:
            say(
                f"{part.component.name} starts from RANDOM weights, for the published ones cannot "
                f"be had: {backbone.loaded.detail} Give --weights PATH to load a file, or "
                "--weights pretrained to make this an error."
            )
        backbones[modality] = backbone
    task = plan.task.component.build(
        plan.task.options, TaskContext(backbones=backbones, info=dataset.info)
    )
    if not isinstance(task, Task):
        raise _wrong_type(plan.task.component, task, Task)
    return task


def build_metrics(parts: tuple[Part[MetricSpec], ...], info: DatasetInfo) -> Mapping[str, Metric]:
    """Build the metrics, by the names of their components."""
    metrics: dict[str, Metric] = {}
    for part in parts:
        metric = part.component.build(part.options, MetricContext(info=info))
        if not isinstance(metric, Metric):
            raise _wrong_type(part.component, metric, Metric)
        metrics[part.component.name] = metric
    return metrics


def _wrong_type(component: Component[Any], got: object, wanted: type) -> PluginError:
    return PluginError(
        f"The {component.kind} '{component.qualified}' built a {type(got).__name__}, "
        f"not a {wanted.__name__}.",
        hint=f"This is a fault of {component.distribution} {component.version}.",
    )
