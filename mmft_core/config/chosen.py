"""What is chosen by a list of names, with the options of each in a table of its own.

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
    """Names as a list; a single one may stand without it.

    Raises:
        ConfigError: they are no names.
    """
    if isinstance(names, str):
        names = [names]
    if not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names):
        raise ConfigError(f"{key} = {names!r} is not a list of names.")
    return list(names)


def chosen_tables(
    tree: Mapping[str, Any], key: str, spec: type[S], chosen: Container[str], registry: Registry
) -> dict[str, Tree]:
    """The options of what is chosen, by qualified name; several spellings of a name mean the same.

    Args:
        key: below which the tables stand, such as "metric".
        chosen: qualified names.

    Raises:
        ConfigError: one is no table, or of something that is not chosen.
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
