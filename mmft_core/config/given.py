"""Command-line options, or arguments in Python, as layers of settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from mmft_core.config.callback_choice import OLD_TABLE, renew
from mmft_core.config.layers import combine, means
from mmft_core.config.places import moved, read_settings_file
from mmft_core.config.plan import Plan
from mmft_core.config.trees import Tree, flatten, merge, nest
from mmft_core.errors import ConfigError
from mmft_core.registry import Registry
from mmft_core.utils.files import user_path

Notice: TypeAlias = Callable[[str], None]
"""Called with a sentence that the user should know."""

SHORT = {
    "epochs": "engine.epochs",
    "batch_size": "engine.batch_size",
    "lr": "engine.lr",
    "tune": "engine.tune",
    "seed": "engine.seed",
    "data_root": "dataset.root",
    "on_bad_sample": "on_bad_sample",
    "folds": "folds",
    "group": "dataset.group_column",
    "task": "task.name",
    "dataset": "dataset.name",
}
"""Flags that are short for a setting of the configuration."""


def settings_of(given: Mapping[str, Any], others: Tree, registry: Registry, notice: Notice) -> Tree:
    """The settings of a TOML file, of flags and of others, later ones winning.

    Args:
        given: flags by name: "config" (the TOML file), "backbone" and "weights" (each a tuple of
            "[MODALITY=]WHAT"), "metric", "callback", "no_callback" and "track" (tuples of names),
            and those that are short for a setting. A flag may be missing, or None.
        others: any settings, as a tree.
        notice: called with a notice about each setting that has another name now.

    Raises:
        ConfigError: one cannot be read.
        UnknownComponentError, AmbiguousNameError: a backbone's name cannot be resolved.
    """
    file = read_settings_file(given["config"], registry) if given.get("config") else {}
    if given.get("track"):
        notice("--track is now called --callback.")
    layers = (file, _flags(given), others)
    for layer in layers:
        tell_of_old_table(layer, notice)
    return combine(layers, registry)


def tell_of_old_table(tree: Mapping[str, Any], notice: Notice) -> None:
    """Say how trackers are chosen now, where settings choose them as version 0.1 did."""
    old = tree.get(OLD_TABLE)
    if isinstance(old, Mapping) and (old.get("to") or "to" not in old):
        notice(
            "[tracking] still works; trackers are callbacks now: `callbacks = [...]`, --callback "
            "NAME, and a table [callback.NAME] for the options of each."
        )


def _flags(given: Mapping[str, Any]) -> Tree:
    tree = nest({k: given[flag] for flag, k in SHORT.items() if given.get(flag) is not None})
    backbones: tuple[str, ...] = given.get("backbone") or ()
    own: dict[str, str] = {}
    for choice in backbones:
        modality, equals, name = choice.rpartition("=")
        if equals and own.setdefault(modality, name) != name:
            raise ConfigError(
                f"Two backbones were given for {modality}: {own[modality]} and {name}.",
                hint="Each modality has one; `mmft suggest` compares several.",
            )
        below = {modality: {"name": name}} if equals else {"name": name}
        tree = merge(tree, {"backbone": below})
    plain = [choice for choice in backbones if "=" not in choice]
    if len(plain) > 1:
        raise ConfigError(
            f"Several backbones were given without their modality: {', '.join(plain)}.",
            hint="Write --backbone image=NAME --backbone text=NAME.",
        )
    tree = merge(tree, _weights(given.get("weights") or (), backbones))
    metrics = {"metrics": list(given["metric"])} if given.get("metric") else {}
    added = (*(given.get("callback") or ()), *(given.get("track") or ()))
    changes = [f"+{name}" for name in added]
    changes += [f"-{name}" for name in given.get("no_callback") or ()]
    callbacks = {"callbacks": changes} if changes else {}
    return merge(tree, metrics, callbacks)


def _weights(choices: tuple[str, ...], backbones: tuple[str, ...]) -> Tree:
    """The weights of all backbones, or of those whose modality was given with their name."""
    named = {choice.rpartition("=")[0] for choice in backbones if "=" in choice}
    chosen: dict[str, str] = {}  # Of two for the same backbone the later one wins.
    for choice in choices:
        modality, equals, what = choice.partition("=")
        if equals and modality in named:  # Otherwise the '=' is part of a path.
            chosen[f"backbone.{modality}.weights"] = what
        else:
            chosen["backbone.weights"] = choice
    return nest(chosen)


def refuse_idle(given: Tree, plan: Plan) -> None:
    """Refuse settings of adapters, such as LoRA's rank, where the plan trains no adapters.

    Only flags and `--set` are checked: a configuration file, such as a run's, has all settings.

    Args:
        given: the settings from flags and `--set`.

    Raises:
        ConfigError: the plan trains none.
    """
    idle = [key for key in flatten(given) if key.startswith("engine.lora.")]
    if idle and not plan.engine.tuning.adapts:
        raise ConfigError(
            f"{idle[0]} is set, but engine.tune = '{plan.engine.tune}' uses no adapters.",
            hint="Give --tune lora, or leave the setting out.",
        )


def take_output(tree: Tree, output: Path | None) -> Path | None:
    """Take the setting `output` out of the tree; the option takes precedence.

    Raises:
        ConfigError: it is not a path.
    """
    value = tree.pop("output", None)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"output = {value!r} is not a path.")
    return output or (user_path(value) if value else None)


def resumed_settings(
    path: Path, stored: Tree, given: Tree, registry: Registry, notice: Notice
) -> Tree:
    """The configuration of a run that is resumed; only new places of its files may be given.

    Raises:
        ConfigError: what is given says something else; names the setting and both values.
    """
    tell_of_old_table(stored, notice)
    settings, given = moved(stored, given, registry)
    known = flatten(renew(stored, registry))
    for key, value in flatten(given).items():
        if not _same_setting(key, value, known):
            now = next((v for k, v in known.items() if means(key, k)), "not set")
            raise ConfigError(
                f"{key} is {now!r} in {path}, but {value!r} is given now.",
                hint="Resuming repeats the run's own configuration: leave the option out, or "
                "start a new run.",
            )
    return settings


def _same_setting(key: str, value: Any, known: Tree) -> bool:
    return any(means(key, k) and _same_value(value, v) for k, v in known.items())


def _same_value(given: Any, stored: Any) -> bool:
    """Whether values are the same; stored names begin with that of the plugin."""
    if isinstance(given, list) and isinstance(stored, list) and len(given) == len(stored):
        return all(map(_same_value, given, stored))
    return bool(given == stored) or str(stored).rpartition("/")[2] == given
