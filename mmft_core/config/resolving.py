"""Making a plan from a configuration tree and a registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar, cast

from mmft_core.config import compat
from mmft_core.config.callback_choice import choose_callbacks
from mmft_core.config.chosen import checked_names, chosen_tables
from mmft_core.config.dataset_choice import choose_dataset, chosen_name
from mmft_core.config.engine_config import EngineConfig
from mmft_core.config.layers import combine
from mmft_core.config.options import as_written, convert, option_names, renamed
from mmft_core.config.plan import BackbonePart, OnBadSample, Plan, PlanPart, Recipe
from mmft_core.config.recommended import recommended_settings
from mmft_core.config.setting_names import check_keys
from mmft_core.config.trees import Tree, ensure_text, merge
from mmft_core.data.fold_choice import Folds
from mmft_core.errors import ConfigError, did_you_mean
from mmft_core.plugin_errors import recommended_by
from mmft_core.registry import Component, Registry
from mmft_core.specs import (
    BackboneSpec,
    MetricSpec,
    OptimizerSpec,
    PartSpec,
    ScheduleSpec,
    Spec,
    TaskSpec,
)

S = TypeVar("S", bound=Spec)

_ADAPTERS_FASTER = 20


def make_plan(tree: Mapping[str, Any], registry: Registry) -> Plan:
    """Look up every name, add recommended defaults, type every option, check that all fits.

    Raises:
        ConfigError: a key or a value is wrong, or something needed is not given.
        UnknownComponentError, AmbiguousNameError: a name cannot be resolved.
        IncompatibleError: the parts do not fit together.
    """
    check_keys(tree, registry)
    ensure_text(tree)
    tree = combine([tree], registry)
    task_table = _table(tree, "task")
    task = registry.get(TaskSpec, chosen_name(task_table, "task", "--task"))
    backbone_tables = _backbone_tables(tree, registry)
    backbones = {
        m: registry.get(BackboneSpec, tables[f"backbone.{m}"]["name"])
        for m, tables in backbone_tables.items()
    }
    dataset, dataset_table = choose_dataset(
        _table(tree, "dataset"), task.spec, registry, [c.spec for c in backbones.values()]
    )
    metrics = _metrics(tree, task, registry)
    compat.check(
        task.spec,
        {m: c.spec for m, c in backbones.items()},
        dataset.spec,
        [part.spec for part in metrics],
        registry,
    )
    parts: list[Component[PartSpec]] = [*backbones.values(), task, dataset]
    plain = [recommended_settings(part, part.spec.defaults) for part in parts]
    advice = merge(*plain)
    scratch = merge(
        *(
            merge(own, recommended_settings(part, part.spec.from_scratch, from_scratch=True))
            for part, own in zip(parts, plain, strict=True)
        )
    )
    own = {m: c.spec for m, c in backbones.items()}
    recipe, from_scratch = (_recipe(a, tree, own, registry) for a in (advice, scratch))
    backbone_parts = {
        m: _backbone_part(m, c, advice.get("backbone", {}), backbone_tables[m])
        for m, c in backbones.items()
    }
    untrained = all(part.weights == "none" for part in backbone_parts.values())
    return Plan(
        task=_part(task, advice, task_table),
        backbones=backbone_parts,
        dataset=_part(dataset, advice, dataset_table),
        metrics=metrics,
        **vars(from_scratch if untrained else recipe),
        recipe_from_scratch=from_scratch,
        on_bad_sample=_on_bad_sample(tree),
        folds=Folds.of(tree),
        callbacks=choose_callbacks(tree, registry),
    )


resolve = make_plan
"""Its name in mmft 0.1."""


def _recipe(
    advice: Tree,
    tree: Mapping[str, Any],
    backbones: Mapping[str, BackboneSpec],
    registry: Registry,
) -> Recipe:
    """How to train, with what is recommended where the user says nothing."""
    engine = _engine(advice.get("engine", {}), _table(tree, "engine"), backbones)
    optimizer = registry.get(OptimizerSpec, engine.optimizer)
    schedule = registry.get(ScheduleSpec, engine.schedule)
    return Recipe(
        engine=engine,
        optimizer=_part(optimizer, advice, _table(tree, "optimizer")),
        schedule=_part(schedule, advice, _table(tree, "schedule")),
    )


def _engine(advice: Tree, own: Tree, backbones: Mapping[str, BackboneSpec]) -> EngineConfig:
    """The settings of training, with what is recommended where the user says nothing.

    Adapters learn best at ten times the best learning rate of the weights themselves, or more in
    short trainings (Schulman et al., 2025, "LoRA Without Regret"); and the rate recommended for the
    weights is below their best, lest it ruin them.
    """
    config = convert(merge(advice, own), EngineConfig, "engine")
    config.tuning.check(backbones, [part for spec in backbones.values() for part in spec.parts])
    modes = set[str]().union(*(config.tuning.modes(m, s.parts) for m, s in backbones.items()))
    if "lr" in own or "lora" not in modes or modes - {"lora", "head"}:
        return config
    return replace(config, lr=_ADAPTERS_FASTER * config.lr, head_lr=config.head_lr or config.lr)


def with_data(tree: Mapping[str, Any], name: str, registry: Registry) -> Tree:
    """The configuration of a run with other data.

    Where these are of the same kind as the run's own, they are read with the same options.

    Args:
        name: of a data set, or a path.
    """
    own = _table(tree, "dataset")
    others = combine([dict(tree) | {"dataset": {"name": name}}], registry)
    found = make_plan(others, registry).dataset.component.qualified
    if found != own.get("name"):
        return others
    return others | {"dataset": merge(own, _table(others, "dataset"))}


def _table(tree: Mapping[str, Any], key: str) -> Tree:
    """A table of the tree; `task = "x"` is short for `task.name = "x"`."""
    value = tree.get(key, {})
    if isinstance(value, str):
        return {"name": value}
    if not isinstance(value, Mapping):
        raise ConfigError(f"'{key}' is {value!r}, not a table of settings.")
    return dict(value)


def _backbone_tables(tree: Mapping[str, Any], registry: Registry) -> dict[str, Mapping[str, Tree]]:
    """The settings of every backbone, as they are written: name, weights and options.

    A table below `backbone` belongs to that modality; plain values beside it are for all backbones
    that have such an option.

    Returns:
        by modality, what stands below "backbone" and below "backbone.MODALITY".
    """
    table = _table(tree, "backbone")
    by_modality = {m: _table(table, m) for m, v in table.items() if isinstance(v, Mapping)}
    shared = {k: v for k, v in table.items() if not isinstance(v, Mapping)}
    if not by_modality:
        chosen_name({}, "backbone", "--backbone")
    known: dict[str, frozenset[str]] = {}
    for modality, own in by_modality.items():
        name = chosen_name(own, "backbone", f"--backbone {modality}=")
        component = registry.get(BackboneSpec, name)
        known[modality] = option_names(component.options_type()) | {"weights"}
        if component.spec.modality != modality:
            raise ConfigError(
                f"Backbone '{component.name}' reads {component.spec.modality}, not {modality}.",
                hint=f"Write it as {component.spec.modality}={component.name}.",
            )
    of_any = frozenset().union(*known.values())
    for key in shared.keys() - of_any:
        raise ConfigError(
            f"There is no option 'backbone.{key}'.{did_you_mean(key, of_any)}",
            hint=f"Options of backbone: {', '.join(sorted(of_any))}.",
        )
    return {
        m: {
            "backbone": {k: v for k, v in shared.items() if k in known[m] and k not in own},
            f"backbone.{m}": own,
        }
        for m, own in by_modality.items()
    }


def _metrics(
    tree: Mapping[str, Any], task: Component[TaskSpec], registry: Registry
) -> tuple[PlanPart[MetricSpec], ...]:
    """The chosen metrics with their options, which stand in tables below `metric`."""
    names = tree.get("metrics")
    if not names:
        names = task.spec.default_metrics
        with recommended_by(task.full_name):
            for name in names:
                registry.get(MetricSpec, name)
    named = [registry.get(MetricSpec, name) for name in checked_names("metrics", names)]
    chosen = {m.qualified: m for m in named}
    tables = chosen_tables(tree, "metric", MetricSpec, chosen, registry)
    return tuple(
        PlanPart(
            component=c, options=convert(tables.get(q, {}), c.options_type(), f"metric.{c.name}")
        )
        for q, c in chosen.items()
    )


def _options(
    component: Component[Any], advice: Mapping[str, Any], tables: Mapping[str, Tree]
) -> Any:
    """The typed options. Advice for options that this component lacks is ignored.

    Args:
        tables: what is set, by the dotted prefix of its keys, for messages.
    """
    options_type = component.options_type()
    known = option_names(options_type)
    with as_written():
        advice = renamed(advice, options_type, component.kind)
    values = {k: v for k, v in advice.items() if k in known}
    owner = f"{component.kind.capitalize()} '{component.name}'"
    for where, table in tables.items():
        given = {k: v for k, v in table.items() if k != "name"}
        values = merge(values, renamed(given, options_type, where))
        options = convert(values, options_type, where, owner)
    return options


def _part(component: Component[S], advice: Mapping[str, Any], table: Tree) -> PlanPart[S]:
    own = advice.get(component.kind, {})
    options = _options(component, own, {component.kind: table})
    return PlanPart(component=component, options=options)


def _backbone_part(
    modality: str,
    component: Component[BackboneSpec],
    advice: Mapping[str, Any],
    tables: Mapping[str, Tree],
) -> BackbonePart:
    weights = "auto"
    for where, table in tables.items():
        weights = table.pop("weights", weights)
        if not isinstance(weights, str) or not weights:
            raise ConfigError(
                f"{where}.weights = {weights!r} is not valid.",
                hint="Give auto, pretrained, none, or a path.",
            )
    # Advice is for whichever backbone has the option: "backbone.image_size".
    plain = {k: v for k, v in advice.items() if not isinstance(v, Mapping)}
    own = merge(plain, advice.get(modality, {}))
    return BackbonePart(
        component=component, options=_options(component, own, tables), weights=weights
    )


def _on_bad_sample(tree: Mapping[str, Any]) -> OnBadSample:
    value = tree.get("on_bad_sample", "fail")
    if value not in ("fail", "skip"):
        raise ConfigError(f"on_bad_sample = {value!r} is not valid: expected 'fail' or 'skip'.")
    return cast("OnBadSample", value)
