"""Finds keys that name no setting, and suggests one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mmft_core.config.callback_choice import OLD_TABLE
from mmft_core.config.engine_config import EngineConfig
from mmft_core.config.options import option_keys
from mmft_core.config.places import PLACES_TABLE
from mmft_core.config.trees import flatten
from mmft_core.errors import ConfigError, PluginError, nearest
from mmft_core.registry import Component, Registry
from mmft_core.specs import KINDS, ConfigurableSpec

TOP_LEVEL = (
    "task",
    "backbone",
    "dataset",
    "metrics",
    "metric",
    "engine",
    "optimizer",
    "schedule",
    "output",
    "on_bad_sample",
    "folds",
    "fold",
    "callbacks",
    "callback",
)


def check_keys(tree: Mapping[str, Any], registry: Registry) -> None:
    """Raises:
    ConfigError: there is no such setting at the top level.
    """
    for key in tree:
        # The table of places concerns whoever reads the file.
        if key not in (*TOP_LEVEL, PLACES_TABLE, OLD_TABLE):
            near = did_you_mean_setting(key, [*TOP_LEVEL, *option_settings(tree, registry)])
            raise ConfigError(
                f"There is no setting '{key}'.{near}",
                hint=f"Settings are: {', '.join(TOP_LEVEL)}; those of a part follow its name, "
                "as engine.lr and backbone.image_size.",
            )


def did_you_mean_setting(key: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'engine.lr'?" for the setting whose last part is nearest to the key,
    the first of several, or an empty string."""
    settings: dict[str, str] = {}
    for setting in known:
        settings.setdefault(setting.rpartition(".")[2], setting)
    near = nearest(key, settings, cutoff=0.7)
    return f" Did you mean '{settings[near]}'?" if near is not None else ""


def option_settings(tree: Mapping[str, Any], registry: Registry) -> Iterator[str]:
    """The settings of the engine and of components, by their dotted keys.

    Args:
        tree: where it names components of a kind, only the settings of these are given.
    """
    yield from option_keys(EngineConfig, "engine.")
    yield "backbone.weights"
    named = {value for value in flatten(tree).values() if isinstance(value, str)}
    for kind, spec in KINDS.items():
        if kind in TOP_LEVEL and issubclass(spec, ConfigurableSpec):
            components = registry.of(spec)
            chosen = [c for c in components if named & {c.name, c.qualified}]
            for component in chosen or components:
                yield from _options_of(component)


def _options_of(component: Component[ConfigurableSpec]) -> Iterator[str]:
    with contextlib.suppress(PluginError):  # Reported where the component is used.
        yield from option_keys(component.options_type(), component.spec.table)
