"""Choosing the callbacks of a run.

`callbacks = ["report", "diary"]` lists all of them; without it, a run has the default ones. Names
with a sign change the current choice: `callbacks = ["+diary", "-report"]`. The options of each are
in a table such as `[callback.diary]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmft_core.config.chosen import checked_names, chosen_tables
from mmft_core.config.options import convert
from mmft_core.config.plan import PlanPart
from mmft_core.config.trees import Tree, merge
from mmft_core.errors import ConfigError, PluginError, did_you_mean
from mmft_core.registry import Component, NoOptions, Registry
from mmft_core.specs import CallbackSpec

OLD_TABLE = "tracking"
"""Until version 0.1 trackers had a table of their own, with their names in `tracking.to`."""


def choose_callbacks(
    tree: Mapping[str, Any], registry: Registry
) -> tuple[PlanPart[CallbackSpec], ...]:
    """The callbacks of a configuration, with their options typed.

    Raises:
        ConfigError: an option is wrong, or belongs to a callback that is not chosen.
        UnknownComponentError, AmbiguousNameError: a name cannot be resolved.
    """
    names = tree.get("callbacks")
    names = default_callbacks(registry) if names is None else checked_names("callbacks", names)
    chosen = {c.qualified: c for c in (registry.get(CallbackSpec, name) for name in names)}
    tables = chosen_tables(tree, "callback", CallbackSpec, chosen, registry)
    return tuple(_part(component, tables.get(q, {})) for q, component in chosen.items())


def _part(component: Component[CallbackSpec], table: Tree) -> PlanPart[CallbackSpec]:
    try:
        options_type = component.options_type()
    except PluginError:
        # What nobody asked for must not keep a run from starting; building it will fail as well,
        # and is reported.
        if not component.spec.default or table:
            raise
        options_type = NoOptions
    options = convert(table, options_type, f"callback.{component.name}")
    return PlanPart(component=component, options=options)


def default_callbacks(registry: Registry) -> list[str]:
    """The names of the callbacks that every run has, unless they are left out."""
    return [c.qualified for c in registry.of(CallbackSpec) if c.spec.default]


def lay_over(below: Any, names: Any, registry: Registry) -> list[str]:
    """The names of the callbacks after a layer of settings.

    Args:
        below: those of the layers before it; None for the defaults.
        names: those of the layer. With a sign each, they change what is below; else they
            replace it.

    Raises:
        ConfigError: they are not names, or only some have a sign.
        UnknownComponentError, AmbiguousNameError: a name cannot be resolved.
    """
    given = checked_names("callbacks", names)
    signed = [name for name in given if name[:1] in ("+", "-")]
    if not signed:
        return given
    if len(signed) < len(given):
        raise ConfigError(
            f"callbacks = {given!r} mixes names with and without a sign.",
            hint="Name all callbacks, or only changes, as '+NAME' and '-NAME'.",
        )
    chosen = default_callbacks(registry) if below is None else checked_names("callbacks", below)
    for name in signed:
        wanted = registry.get(CallbackSpec, name[1:])
        others = [n for n in chosen if registry.get(CallbackSpec, n) != wanted]
        if name[0] == "-":
            chosen = others
        elif len(others) == len(chosen):
            chosen = [*chosen, name[1:]]
    return chosen


def renew(tree: Tree, registry: Registry) -> Tree:
    """Replace `[tracking]`, as version 0.1 had it, by callbacks and their tables.

    Such a table also holds settings of trackers that are not used; these are left out.

    Raises:
        ConfigError: it is not such a table.
        UnknownComponentError, AmbiguousNameError: a name in it cannot be resolved.
    """
    if OLD_TABLE not in tree:
        return tree
    old = tree[OLD_TABLE]
    if not isinstance(old, Mapping):
        raise ConfigError(f"'{OLD_TABLE}' is {old!r}, not a table of settings.")
    tree = {key: value for key, value in tree.items() if key != OLD_TABLE}
    try:
        added = [f"+{name}" for name in checked_names("callbacks", old.get("to", []))]
        if added:
            tree["callbacks"] = lay_over(tree.get("callbacks"), added, registry)
    except (ConfigError, PluginError) as error:
        raise ConfigError(f"{OLD_TABLE}.to: {error.message}", hint=error.hint) from None
    chosen = {name.rpartition("/")[2] for name in tree.get("callbacks") or ()}
    for name, table in old.items():
        if name != "to" and not isinstance(table, Mapping):
            raise ConfigError(
                f"There is no option '{OLD_TABLE}.{name}'.{did_you_mean(name, ('to', *chosen))}",
                hint="Trackers are callbacks now: give --callback NAME.",
            )
    tables = {name: table for name, table in old.items() if name != "to" and name in chosen}
    if tables:
        tree["callback"] = merge(tables, tree.get("callback", {}))
    return tree


def without_callbacks(tree: Mapping[str, Any]) -> Tree:
    """The settings of a run without its callbacks, for another use of its model.

    The plugins of the callbacks need not be installed then.
    """
    return unfollowed(tree) | {"callbacks": []}


def unfollowed(tree: Mapping[str, Any]) -> Tree:
    """Settings without those of callbacks."""
    return {k: v for k, v in tree.items() if k not in ("callbacks", "callback", OLD_TABLE)}
