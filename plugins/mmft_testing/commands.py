"""Checks of commands."""

from __future__ import annotations

from collections.abc import Iterator

import click

from mmft_core import CommandSpec, Component
from mmft_testing.common import assert_light
from mmft_testing.tools import skip_without_extras
from mmft_testing.workbench import Workbench


def help_is_light(bench: Workbench, component: Component[CommandSpec]) -> None:
    """Importing the command, as `--help` does, imports no torch."""
    skip_without_extras(component)
    module = component.spec.build.partition(":")[0]
    assert_light(f"import {module}", module)


def says_what_it_does(bench: Workbench, component: Component[CommandSpec]) -> None:
    """It is a click command, and has a help text, as have its subcommands and all options."""
    skip_without_extras(component)
    found = component.load()
    assert isinstance(found, click.Command), f"{component.spec.build} is not a click command"
    for name, command in _with_subcommands(component.name, found):
        assert command.help, f"mmft {name} has no help text"
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert option.help, f"mmft {name}: {option.opts[0]} has no help text"


def _with_subcommands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from _with_subcommands(f"{name} {inner.name}", inner)


CHECKS = [help_is_light, says_what_it_does]
