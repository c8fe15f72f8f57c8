"""Building components as small as they get, without network, from what is installed."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch

from mmft_core import (
    ANY_MODALITIES,
    BackboneSpec,
    Component,
    DatasetSpec,
    MetricSpec,
    PartSpec,
    Registry,
    Spec,
    TaskSpec,
)
from mmft_core.config import EngineConfig, compat, convert, merge, nest, option_names
from mmft_core.contracts import (
    Backbone,
    BackboneContext,
    Batch,
    Dataset,
    DatasetContext,
    Metric,
    MetricContext,
    Task,
    TaskContext,
    Tensors,
)
from mmft_core.data import form_of
from mmft_core.errors import first_line
from mmft_core.loading import PreparedSplit, seed_everything
from mmft_core.run import build_component, task_assets
from mmft_core.weights import WeightsRequest
from mmft_testing.samples import ordinary, rolled, spread
from mmft_testing.tools import no_network, skip_without_extras

T = TypeVar("T")
S = TypeVar("S", bound=Spec)

_TRIED = {"pooled", "sequence", "generation", "likelihoods"}
"""What the kit tries of a backbone by itself; words of a plugin's own are its task's to try."""

EVALUATED = 16
"""So many samples are in a batch of predictions that metrics are tried with."""


class Workbench:
    """What checks build their parts with.

    Parts are kept for the next check. One that changes a part makes a copy, which takes less time
    than to build another.
    """

    def __init__(
        self,
        registry: Registry,
        settings: Mapping[str, Any],
        prefer: Collection[str],
        data: Path | None = None,
    ) -> None:
        """Args:
        data: what data sets that open such a path are built on, in place of bundled ones.
        """
        self.registry, self.settings, self.prefer = registry, nest(settings), frozenset(prefer)
        self.data = data
        self._told: dict[tuple[str, str], str] = {}
        self.dataset = functools.lru_cache(maxsize=8)(self.new_dataset)
        self.backbone = functools.lru_cache(maxsize=1)(self.new_backbone)
        self.task = functools.lru_cache(maxsize=1)(self.new_task)
        self.evaluated = functools.lru_cache(maxsize=None)(self._evaluated)

    @contextlib.contextmanager
    def told_once(self, component: Component[Any], what: str) -> Iterator[None]:
        """Let a fault that every check would meet fail the first; the others are skipped.

        Args:
            what: names the step in which it arises.
        """
        key = (component.qualified, what)
        if key in self._told:
            pytest.skip(f"{component.qualified} failed in another check: {self._told[key]}")
        try:
            yield
        except Exception as error:
            self._told[key] = first_line(error)
            raise

    # --- datasets -------------------------------------------------------------------------------

    def new_dataset(self, component: Component[DatasetSpec], target: str, seed: int = 0) -> Dataset:
        return self._build(component, DatasetContext(target=target, seed=seed), Dataset)

    def data_for(self, component: Component[Any]) -> Dataset:
        """A dataset to try a backbone, a task or a metric with, as it is built for it."""
        data = self.dataset_for(component)
        spec = component.spec
        target = spec.target if isinstance(spec, TaskSpec) else data.spec.targets[0]
        return self.dataset(data, target)

    def dataset_for(self, component: Component[Any]) -> Component[DatasetSpec]:
        """The dataset that a backbone or a task is tried with: of own data, or a bundled one."""
        spec, known = component.spec, self._of(DatasetSpec, component)
        if isinstance(spec, BackboneSpec):
            fitting = [c for c in known if set(spec.modalities) <= set(c.spec.modalities)]
            what = f"holds {' and '.join(spec.modalities)}"
        else:
            fitting = [c for c in known if compat.dataset_fits(c.spec, spec)]
            what = f"fits task '{spec.name}'"
        default = getattr(spec, "default_dataset", None)
        fitting.sort(key=lambda c: default not in (c.name, c.qualified))
        fitting = [c for c in fitting if self.opens(c) or c.spec.bundled]
        assert fitting, (
            f"no bundled dataset is installed that {what}, so the kit has no samples for it; give "
            "some by plugin_checks(..., data=PATH)"
        )
        return next(filter(self.opens, fitting), fitting[0])

    def opens(self, component: Component[Any]) -> bool:
        """Whether it is a dataset that is built on the data that were given."""
        opened = getattr(component.spec, "opens", ())
        return self.data is not None and form_of(self.data) in opened

    # --- backbones ------------------------------------------------------------------------------

    def new_backbone(
        self,
        component: Component[BackboneSpec],
        seed: int = 0,
        weights: str = "none",
        assets: Path | None = None,
        dataset: Dataset | None = None,
        needs: tuple[str, ...] | None = None,
    ) -> Backbone:
        dataset = dataset or self.data_for(component)
        seed_everything(seed)
        context = BackboneContext(
            weights=WeightsRequest(weights, component.spec.modality),
            info=dataset.info,
            needs=tuple(_TRIED & set(component.spec.provides)) if needs is None else needs,
            train=spread(dataset.splits["train"]) if assets is None else None,
            assets=assets,
        )
        return self._build(component, context, Backbone).eval()

    def raw(self, component: Component[BackboneSpec], count: int) -> list[Any]:
        """Raw inputs for a backbone's `processor`, freshly read."""
        backbone, (modality, *others) = self.backbone(component), component.spec.modalities
        if others:
            own = backbone.processors.items()
            modality = next(m for m, processor in own if processor is backbone.processor)
        split = self.data_for(component).splits["train"]
        return [split[i].inputs[modality] for i in range(count)]

    def inputs(self, component: Component[BackboneSpec], count: int = 3, start: int = 0) -> Tensors:
        """A collated batch for a backbone, of samples from a place on."""
        backbone, spec = self.backbone(component), component.spec
        split = self.data_for(component).splits["train"]
        processors = backbone.processors or {spec.modality: backbone.processor}
        samples = [split[i] for i in range(start, start + count)]
        inputs = {
            m: p.collate([p.prepare(sample.inputs[m], train=False) for sample in samples])
            for m, p in processors.items()
        }
        return Batch(inputs, None, [sample.id for sample in samples]).inputs_of(spec.modality)

    # --- tasks ----------------------------------------------------------------------------------

    def new_task(
        self,
        component: Component[TaskSpec],
        seed: int = 0,
        weights: str = "none",
        assets: Path | None = None,
    ) -> Task:
        data = self.data_for(component)
        backbones = {
            m: self.new_backbone(
                chosen, seed, weights, assets and assets / m, data, component.spec.needs_of(m)
            )
            for m, chosen in self._backbones_for(component).items()
        }
        context = TaskContext(
            backbones=backbones,
            info=data.info,
            train=spread(data.splits["train"]) if assets is None else None,
            assets=None if assets is None else task_assets(assets),
        )
        return self._build(component, context, Task).eval()

    def prepared(self, component: Component[TaskSpec], task: Task, count: int = 8) -> PreparedSplit:
        """Training samples as a task gets them, without augmentation."""
        split = ordinary(self.data_for(component).splits["train"], count)
        return PreparedSplit(split, task.processors, task.codec, train=False)

    def batch(
        self, component: Component[TaskSpec], task: Task, count: int = 8, times: int = 1
    ) -> Batch:
        """A batch of samples, each of them so many times."""
        data = self.prepared(component, task, count)
        batch = data.collate([data[(0, i)] for i in range(len(data))] * times).batch
        assert batch is not None, "none of the samples could be prepared"
        return batch

    def learning_rate(self, component: Component[TaskSpec]) -> float:
        """The one that is recommended for the task's parts when they start from random weights."""
        parts = (*self._backbones_for(component).values(), component, self.dataset_for(component))
        own = (merge(nest(part.spec.defaults), nest(part.spec.from_scratch)) for part in parts)
        advice = merge(*own, self.settings)
        return float(advice.get("engine", {}).get("lr", EngineConfig().lr))

    def _backbones_for(self, task: Component[TaskSpec]) -> dict[str, Component[BackboneSpec]]:
        wanted = task.spec.modalities
        if wanted == ANY_MODALITIES:
            writes = tuple(task.spec.writes)
            held = [m for m in self.dataset_for(task).spec.modalities if m not in writes]
            wanted = (*held[: task.spec.count[1] - len(writes)], *writes)
        return {modality: self._backbone_for(task, modality) for modality in wanted}

    def _backbone_for(self, task: Component[TaskSpec], modality: str) -> Component[BackboneSpec]:
        needs = set(task.spec.needs_of(modality))
        for component in self._of(BackboneSpec, task):
            spec = component.spec
            if spec.modality == modality and needs <= set(spec.provides):
                return component
        raise AssertionError(f"no backbone is installed that gives {needs} for {modality}")

    # --- metrics --------------------------------------------------------------------------------

    def new_metric(self, component: Component[MetricSpec]) -> Metric:
        context = MetricContext(info=self.data_for(self._task_for(component)).info)
        return self._build(component, context, Metric)

    def predictions(self, component: Component[MetricSpec]) -> list[tuple[Any, Any]]:
        """Predictions and targets of four batches, of a task whose predictions it measures.

        In every other batch each sample has its neighbour's target, so that batches score
        differently even where the task is easy.
        """
        return self.evaluated(self._task_for(component))

    def _evaluated(self, component: Component[TaskSpec]) -> list[tuple[Any, Any]]:
        task = self.task(component)
        data = self.prepared(component, task, 4 * EVALUATED)
        results = []
        with torch.no_grad():
            for start in range(0, len(data), EVALUATED):
                samples = [data[(0, i)] for i in range(start, min(start + EVALUATED, len(data)))]
                batch = data.collate(samples).batch
                assert batch is not None
                shift = start // EVALUATED % 2
                outputs = task(batch)
                targets = task.targets_of(batch) if outputs.targets is None else outputs.targets
                results.append((outputs.predictions, rolled(targets, shift)))
        return results

    def _task_for(self, metric: Component[MetricSpec]) -> Component[TaskSpec]:
        for component in self._of(TaskSpec, metric):
            if component.spec.predicts == metric.spec.measures:
                return component
        raise AssertionError(f"no task is installed that predicts {metric.spec.measures}")

    # --- all kinds ------------------------------------------------------------------------------

    def options(self, component: Component[Any], data: Component[DatasetSpec] | None) -> Any:
        """The component's options with the recommended defaults and the kit's settings."""
        specs: list[PartSpec] = [component.spec, *([data.spec] if data else [])]
        advice = merge(*(nest(spec.defaults) for spec in specs), self.settings)
        table = advice.get(component.kind, {})
        for modality in component.spec.modality_names:
            table = merge(table, table.get(modality, {}))
        options_type = component.options_type()
        if isinstance(component.spec, DatasetSpec) and self.opens(component):
            table = merge(table, {"path": str(self.data)})
        known = {k: v for k, v in table.items() if k in option_names(options_type)}
        return convert(known, options_type, component.kind)

    def _build(self, component: Component[Any], context: Any, wanted: type[T]) -> T:
        skip_without_extras(component)
        data = None if component.kind in ("dataset", "metric") else self.dataset_for(component)
        again = " again" if getattr(context, "assets", None) is not None else ""
        device = torch.get_default_device().type
        with self.told_once(component, f"built{again} on {device}"), no_network():
            return build_component(component, self.options(component, data), context, wanted)

    def _of(self, spec: type[S], user: Component[Any]) -> list[Component[S]]:
        """Components of a kind: first those that are preferred, then the user's own plugin's."""

        def rank(component: Component[Any]) -> tuple[bool, bool]:
            return component.name not in self.prefer, component.plugin != user.plugin

        available = [c for c in self.registry.of(spec) if not c.missing_extras()]
        return sorted(available, key=rank)
