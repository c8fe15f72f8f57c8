"""A plan: the parts of a run, with typed options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar

from mmft_core.config.engine_config import EngineConfig
from mmft_core.config.options import option_names
from mmft_core.config.trees import Tree
from mmft_core.data.fold_choice import Folds
from mmft_core.registry import Component
from mmft_core.specs import (
    BackboneSpec,
    CallbackSpec,
    DatasetSpec,
    MetricSpec,
    OptimizerSpec,
    ScheduleSpec,
    Spec,
    TaskSpec,
)

S = TypeVar("S", bound=Spec)
OnBadSample = Literal["fail", "skip"]


@dataclass(frozen=True, kw_only=True)
class PlanPart(Generic[S]):
    """A chosen component with its typed options."""

    component: Component[S]
    options: Any

    @property
    def spec(self) -> S:
        return self.component.spec

    def tree(self) -> Tree:
        return {"name": self.component.qualified, **asdict(self.options)}


@dataclass(frozen=True, kw_only=True)
class BackbonePart(PlanPart[BackboneSpec]):
    """A chosen backbone, and where its weights come from: auto, pretrained, none or a path."""

    weights: str

    def tree(self) -> Tree:
        return {"weights": self.weights, **super().tree()}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a task is trained: the engine's settings, with the optimizer and schedule they name."""

    engine: EngineConfig
    optimizer: PlanPart[OptimizerSpec]
    schedule: PlanPart[ScheduleSpec]


@dataclass(frozen=True, kw_only=True)
class Plan(Recipe):
    """Everything that determines a run."""

    task: PlanPart[TaskSpec]
    backbones: Mapping[str, BackbonePart]
    dataset: PlanPart[DatasetSpec]
    metrics: tuple[PlanPart[MetricSpec], ...]
    # Not compared, because a stored plan has only the settings that it was run with.
    recipe_from_scratch: Recipe = field(compare=False)
    on_bad_sample: OnBadSample = "fail"
    folds: Folds | None = None
    callbacks: tuple[PlanPart[CallbackSpec], ...] = ()

    @property
    def monitor(self) -> str:
        return self.engine.monitor or self.task.spec.monitor

    @property
    def components(self) -> tuple[Component[Any], ...]:
        backbones = (part.component for part in self.backbones.values())
        metrics = (part.component for part in self.metrics)
        callbacks = (part.component for part in self.callbacks)
        own = (self.task.component, *backbones, self.dataset.component, *metrics)
        return (*own, self.optimizer.component, self.schedule.component, *callbacks)

    def from_scratch(self) -> Plan:
        """The plan for a start from random weights, which may need other training settings."""
        return replace(self, **vars(self.recipe_from_scratch))

    def with_data_options(self, options: Any) -> Plan:
        """The plan with the options that a data set completed, if it did (`Dataset.options`)."""
        if options is None:
            return self
        return replace(self, dataset=replace(self.dataset, options=options))

    def with_backbone_options(self, options: Mapping[str, Any]) -> Plan:
        """The plan with the options that backbones completed (`Backbone.fitted_options`), by
        modality; None for one that did not."""
        found = {m: replace(self.backbones[m], options=o) for m, o in options.items() if o}
        return replace(self, backbones={**self.backbones, **found})

    def tree(self) -> Tree:
        """The resolved configuration: running it again repeats the run."""
        metrics, callbacks = (
            {part.component.qualified: asdict(part.options) for part in parts}
            for parts in (self.metrics, self.callbacks)
        )
        return {
            "metrics": list(metrics),
            "metric": {name: table for name, table in metrics.items() if table},
            "callbacks": list(callbacks),
            "callback": {name: table for name, table in callbacks.items() if table},
            "on_bad_sample": self.on_bad_sample,
            **(self.folds.tree() if self.folds else {}),
            "task": self.task.tree(),
            "backbone": {m: part.tree() for m, part in self.backbones.items()},
            "dataset": self.dataset.tree(),
            "engine": asdict(self.engine),
            **{
                part.spec.kind: asdict(part.options)
                for part in (self.optimizer, self.schedule)
                if option_names(type(part.options))
            },
        }
