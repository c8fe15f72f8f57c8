"""The options for parts and settings of a run, shared by several commands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from mmft_core.cli.terminal import say
from mmft_core.config.given import settings_of
from mmft_core.config.trees import Tree, flatten, parse_set
from mmft_core.errors import ConfigError
from mmft_core.registry import Registry

F = TypeVar("F", bound=Callable[..., Any])

INFERENCE_SETTINGS = ("engine.precision", "engine.device", "engine.workers", "engine.threads")
"""The engine's settings that apply to a finished model; the others are for training."""


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
    click.option(
        "--epochs",
        type=int,
        help="Passes over the training data; 0 evaluates the model without training.",
    ),
    click.option("--batch-size", type=int, help="Samples per forward pass, over all processes."),
    click.option("--lr", type=float, help="Peak learning rate."),
    click.option("--seed", type=int, help="Random seed."),
    click.option("--data-root", metavar="DIR", help="Folder for published data sets."),
    click.option(
        "--on-bad-sample",
        type=click.Choice(["fail", "skip"]),
        help="What to do about samples that cannot be used.  [default: fail]",
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
    return settings_of(given, parse_set(given["assignments"]), registry, notice)


def flag_settings(given: Mapping[str, Any], registry: Registry) -> Tree:
    """The settings of the flags and `--set` alone."""
    own = {**given, "config": None}
    return settings_of(own, parse_set(given["assignments"]), registry, lambda notice: None)


def notice(text: str) -> None:
    """Print a notice about a setting that has another name now."""
    say(text)


def later_settings(assignments: Iterable[str], tables: Sequence[str]) -> Tree:
    """The `--set` arguments of a command that uses a finished run.

    Args:
        tables: the parts of a configuration that can still be changed then: tables, and single
            settings by their keys.

    Raises:
        ConfigError: an argument sets another part, which would change nothing.
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
