"""Whether a space fits the run that it varies: found out by planning its corners."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmft_core import Registry
from mmft_core.config import Plan, Tree, combine, flatten, make_plan, means, nest
from mmft_core.errors import ConfigError
from mmft_sweep.space import Dimension, Space, Value

_FIXED = {
    "task": "trials are compared at one task",
    "dataset": "trials are compared on the same data",
    "dataset.path": "trials are compared on the same data",
    "metrics": "trials are compared by the same metrics",
    "metric": "trials are compared by the same metrics",
    "engine.monitor": "trials are compared by it",
    "folds": "trials are compared on the same folds",
    "fold": "trials are compared on the same fold",
    "on_bad_sample": "trials are compared on the same data",
    "output": "a sweep has one folder",
    "callbacks": "all trials are followed in the same way",
    "callback": "all trials are followed in the same way",
}


def plan_trial(base: Mapping[str, Any], params: Mapping[str, Value], registry: Registry) -> Plan:
    """The plan of a trial: the base, overridden by the trial's own settings.

    Args:
        params: by dotted key.

    Raises:
        MmftError: as `resolve` does.
    """
    layers = (nest({key: value}) for key, value in params.items())
    return make_plan(combine((base, *layers), registry), registry)


def fit(space: Space, base: Tree, registry: Registry) -> Space:
    """Check the ends of every range and every choice, and give ranges the types of their settings.

    Raises:
        ConfigError: a setting does not exist, or cannot have such a value.
        MmftError: as `resolve` does; parts do not fit together.
    """
    typed = {dimension.key: dimension for dimension in space.dimensions}
    for params in _corners(space):
        known = flatten(plan_trial(base, params, registry).tree())
        for key in params:
            values = [value for stored, value in known.items() if means(key, stored)]
            if values:
                typed[key] = typed[key].typed_as(values[0])
    return Space(tuple(typed.values()))


def refuse_fixed(space: Space) -> None:
    """Check that trials stay comparable.

    Raises:
        ConfigError: a setting varies that has to be the same for all.
    """
    for dimension in space.dimensions:
        reason = _FIXED.get(dimension.key.removesuffix(".name"))
        if reason is not None:
            raise ConfigError(
                f"{dimension.key} cannot vary, because {reason}.",
                hint="Leave it out, or start a sweep for each of its values.",
            )


def refuse_set(space: Space, given: Tree) -> None:
    """Check that nothing is both set and varied.

    Args:
        given: the settings of the command line.

    Raises:
        ConfigError: one is.
    """
    for key in flatten(given):
        for dimension in space.dimensions:
            own = dimension.key
            if means(own, key) or key == f"{own}.name" or (own == "backbone" and _is_name(key)):
                raise ConfigError(
                    f"{own} is both set and varied.", hint=f"Leave out one, such as --vary {own}=…."
                )


def _is_name(key: str) -> bool:
    return key.startswith("backbone.") and key.endswith(".name")


def _corners(space: Space) -> Iterator[dict[str, Value]]:
    """Settings that together have every extreme of every dimension, also with each named part."""
    first = space.first
    named = [d for d in space.dimensions if all(isinstance(v, str) for v in d.extremes)]
    yield first
    for dimension in space.dimensions:
        for value in dimension.extremes:
            yield first | {dimension.key: value}
            yield from _beside(dimension, value, named, first)


def _beside(
    dimension: Dimension, value: Value, named: list[Dimension], first: Mapping[str, Value]
) -> Iterator[dict[str, Value]]:
    for other in named:
        if other is not dimension:
            for name in other.extremes:
                yield dict(first) | {dimension.key: value, other.key: name}
