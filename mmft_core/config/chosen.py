"""Components chosen by a list of names, each with its options in a table of its own.

`metrics = ["f1"]` and `[metric.f1]`; `callbacks = ["diary"]` and `[callback.diary]`.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, TypeVar

from mmft_core.config.trees import Tree, merge
from mmft_core.errors import ConfigError
from mmft_core.registry import Registry
from mmft_core.specs import Spec

S = TypeVar("S", bound=Spec)


def checked_names(key: str, names: Any) -> list[str]:
    """Names as a list; a single name may be given as a string.

    Raises:
        ConfigError: they are not names.
    """
    if isinstance(names, str):
        names = [names]
    if not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names):
        raise ConfigError(f"{key} = {names!r} is not a list of names.")
    return list(names)


def chosen_tables(
    tree: Mapping[str, Any], key: str, spec: type[S], chosen: Container[str], registry: Registry
) -> dict[str, Tree]:
    """The options of the chosen components, by qualified name. One table may name a component by
    its short name and another by its qualified name; both count.

    Args:
        key: the table that holds these tables, such as "metric".
        chosen: the qualified names of the chosen components.

    Raises:
        ConfigError: one is not a table, or its component is not chosen.
        UnknownComponentError, AmbiguousNameError: a name cannot be resolved.
    """
    given = tree.get(key, {})
    if not isinstance(given, Mapping):
        raise ConfigError(f"'{key}' is {given!r}, not a table of settings.")
    tables: dict[str, Tree] = {}
    for name, table in given.items():
        component = registry.get(spec, name)
        if component.qualified not in chosen:
            raise ConfigError(
                f"{key}.{name} is set, but the run has no {key} '{name}'.",
                hint=f"Add --{key} {name}, or leave the setting out.",
            )
        if not isinstance(table, Mapping):
            raise ConfigError(f"{key}.{name} is {table!r}, not a table of settings.")
        tables[component.qualified] = merge(tables.get(component.qualified, {}), table)
    return tables
