"""Every command in README and CONTRIBUTING has the options that it is shown with."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from mmft_core import discover
from mmft_core.cli import cli
from tests.docs.pages import ROOT

_SH = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"(?:^|&& |bin/)(mmft .*?)(?= && | < |$)", re.MULTILINE)


def commands() -> Iterator[str]:
    for name in ("README.md", "CONTRIBUTING.md"):
        for block in _SH.findall((ROOT / name).read_text(encoding="utf-8")):
            yield from _COMMAND.findall(re.sub(r"\\\n\s*", "", block))


@pytest.mark.parametrize("command", commands())
def test_a_command_parses(command: str) -> None:
    _, *arguments = shlex.split(command, comments=True)
    group: click.Command = cli
    context = click.Context(cli)
    while isinstance(group, click.Group) and arguments:
        name, group, arguments = group.resolve_command(context, arguments)
        assert group is not None
        context = click.Context(group, parent=context, info_name=name)
        if isinstance(group, click.Group) and (arguments[:1] or ["-"])[0] not in group.commands:
            break  # It works without a subcommand, as `mmft plugins` does.
    group.make_context(context.info_name, list(arguments))  # It raises for what there is not.
    registry = discover()
    for flag, find in (("--task", registry.task), ("--backbone", registry.backbone)):
        for option, value in zip(arguments, arguments[1:], strict=False):
            if option == flag and not value.startswith("my-"):
                assert find(value.rpartition("=")[2])


def test_there_are_commands() -> None:
    assert len(list(commands())) > 20
