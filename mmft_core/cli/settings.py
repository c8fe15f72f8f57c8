"""The options that name parts and settings of a run, which several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from mmft_core.cli.terminal import echo
from mmft_core.errors import ConfigError
from mmft_core.planning.callback_choice import OLD_TABLE, renew
from mmft_core.planning.layers import combine, means
from mmft_core.planning.places import moved, read_settings_file
from mmft_core.planning.plan import Plan
from mmft_core.planning.trees import Tree, flatten, merge, nest, parse_set
from mmft_core.registry import Registry

F = TypeVar("F", bound=Callable[..., Any])

# Flags that are short for a setting of the configuration.
_FLAGS = {
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


def set_option(text: str) -> Callable[[F], F]:
    """The option `--set`, whose values a command takes as `assignments`.

    Args:
        text: its help.
    """
    return click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help=text)


_OPTIONS = (
    click.option(
        "-c", "--config", type=click.Path(path_type=Path), help="Read settings from this TOML file."
    ),
    click.option("--task", help="Task to learn, such as image-cls."),
    click.option(
        "--backbone",
        multiple=True,
        metavar="[MODALITY=]NAME",
        help="Pretrained backbone to start from.",
    ),
    click.option(
        "--dataset", metavar="NAME|PATH", help="Data set to train on: a name, a folder, or a table."
    ),
    click.option(
        "--metric", multiple=True, help="Metric to compute; can be repeated.  [default: the task's]"
    ),
    click.option(
        "--weights",
        multiple=True,
        metavar="[MODALITY=]WHAT",
        help="Weights to start from: auto, pretrained, none (random), or a path.",
    ),
    click.option(
        "--tune",
        metavar="full|head|last=N|gradual|lora",
        help="Which weights to train; per modality as image=head,text=lora.",
    ),
    click.option("--epochs", type=int, help="Number of passes over the training data."),
    click.option("--batch-size", type=int, help="Samples per forward pass, over all processes."),
    click.option("--lr", type=float, help="Peak learning rate."),
    click.option("--seed", type=int, help="Random seed."),
    click.option("--data-root", metavar="DIR", help="Folder for published data sets."),
    click.option(
        "--on-bad-sample",
        type=click.Choice(["fail", "skip"]),
        help="What to do about a sample that cannot be read.  [default: fail]",
    ),
    click.option(
        "--folds", type=int, metavar="K", help="Cross-validate over K folds of train and val."
    ),
    click.option(
        "--group",
        metavar="COLUMN",
        help="Keep rows with the same value in this column together when splitting.",
    ),
    click.option(
        "--callback",
        multiple=True,
        metavar="NAME",
        help="Callback to add, such as an experiment tracker; can be repeated.",
    ),
    click.option(
        "--no-callback",
        multiple=True,
        metavar="NAME",
        help="Callback to leave out, such as report; can be repeated.",
    ),
    click.option("--track", multiple=True, hidden=True),  # The name of --callback in version 0.1.
    set_option("Any setting, such as engine.lr=3e-4 or backbone.image_size=128; can be repeated."),
)


def setting_options(command: F) -> F:
    """Add the options; the command hands them on to `read_settings` and `flag_settings`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def read_settings(given: Mapping[str, Any], registry: Registry) -> Tree:
    """The settings of the TOML file, the flags and `--set`, later ones winning.

    Args:
        given: the values of the options, by parameter.

    Raises:
        ConfigError: one cannot be read.
        UnknownComponentError, AmbiguousNameError: a backbone's name cannot be resolved.
    """
    file = read_settings_file(given["config"], registry) if given["config"] else {}
    layers = (file, *_flag_layers(given))
    if given["track"]:
        echo("--track is called --callback now.", err=True)
    for layer in layers:
        tell_of_old_table(layer)
    return combine(layers, registry)


def tell_of_old_table(tree: Mapping[str, Any]) -> None:
    """Say how trackers are chosen now, where settings choose them as version 0.1 did."""
    old = tree.get(OLD_TABLE)
    if isinstance(old, Mapping) and (old.get("to") or "to" not in old):
        echo(
            "[tracking] still works; trackers are callbacks now: `callbacks = [...]`, --callback "
            "NAME, and a table [callback.NAME] for the options of each.",
            err=True,
        )


def flag_settings(given: Mapping[str, Any], registry: Registry) -> Tree:
    """The settings of the flags and `--set` alone."""
    return combine(_flag_layers(given), registry)


def _flag_layers(given: Mapping[str, Any]) -> tuple[Tree, Tree]:
    tree = nest({key: given[flag] for flag, key in _FLAGS.items() if given[flag] is not None})
    backbones: tuple[str, ...] = given["backbone"]
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
    tree = merge(tree, *_weights(given["weights"], backbones))
    metrics = {"metrics": list(given["metric"])} if given["metric"] else {}
    changes = [f"+{name}" for name in (*given["callback"], *given["track"])]
    changes += [f"-{name}" for name in given["no_callback"]]
    callbacks = {"callbacks": changes} if changes else {}
    return merge(tree, metrics, callbacks), parse_set(given["assignments"])


def _weights(choices: tuple[str, ...], backbones: tuple[str, ...]) -> list[Tree]:
    """The weights of all backbones, or of those of a modality that was given one by name."""
    named = {choice.rpartition("=")[0] for choice in backbones if "=" in choice}
    chosen: dict[str, str] = {}  # Of two for the same the later one counts, as of any option.
    for choice in choices:
        modality, equals, what = choice.partition("=")
        if equals and modality in named:  # Else it is a path that holds one.
            chosen[f"backbone.{modality}.weights"] = what
        else:
            chosen["backbone.weights"] = choice
    return [nest(chosen)]


def refuse_idle(given: Tree, plan: Plan) -> None:
    """Check that settings of adapters are given only where there will be any.

    A file of settings may hold them, as the one that a run writes does.

    Args:
        given: by the flags and `--set`.

    Raises:
        ConfigError: there will be none.
    """
    idle = [key for key in flatten(given) if key.startswith("engine.lora.")]
    if idle and not plan.engine.tuning.adapts:
        raise ConfigError(
            f"{idle[0]} is set, but engine.tune = '{plan.engine.tune}' uses no adapters.",
            hint="Give --tune lora, or leave the setting out.",
        )


def take_output(tree: Tree, output: Path | None) -> Path | None:
    """Take the setting `output` out of the tree; the option goes before it.

    Raises:
        ConfigError: it is no path.
    """
    value = tree.pop("output", None)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"output = {value!r} is not a path.")
    return output or (Path(value).expanduser() if value else None)


def resumed_settings(path: Path, stored: Tree, given: Tree, registry: Registry) -> Tree:
    """The configuration of a run that goes on: only where its files are now may be given anew.

    Raises:
        ConfigError: what is given says something else; names the setting and both values.
    """
    tell_of_old_table(stored)
    settings, given = moved(stored, given, registry)
    known = flatten(renew(stored, registry))
    for key, value in flatten(given).items():
        if not _same_setting(key, value, known):
            now = next((v for k, v in known.items() if means(key, k)), "not set")
            raise ConfigError(
                f"{key} is {now!r} in {path} and {value!r} on the command line.",
                hint="Resuming repeats the run's own configuration: leave the option out, or "
                "start a new run.",
            )
    return settings


def _same_setting(key: str, value: Any, known: Tree) -> bool:
    return any(means(key, k) and _same_value(value, v) for k, v in known.items())


def _same_value(given: Any, stored: Any) -> bool:
    """Whether values are the same; names are stored with their plugin's in front."""
    if isinstance(given, list) and isinstance(stored, list) and len(given) == len(stored):
        return all(map(_same_value, given, stored))
    return bool(given == stored) or str(stored).rpartition("/")[2] == given


def later_settings(assignments: Iterable[str], tables: Sequence[str]) -> Tree:
    """The `--set` arguments of a command that uses a finished run.

    Args:
        tables: the parts of a configuration that can still be changed then: tables, and single
            settings by their keys.

    Raises:
        ConfigError: an argument is of another part, and would change nothing.
    """
    settings = parse_set(assignments)
    for key in flatten(settings):
        if key not in tables and key.partition(".")[0] not in tables:
            *most, last = (t if "." in t else f"{t}.*" for t in tables)
            can = f"{', '.join(most)} and {last}" if most else last
            raise ConfigError(
                f"--set {key} cannot be changed in a finished run.",
                hint=f"Here {can} can be set; set the others when training, with `mmft run`.",
            )
    return settings
