"""Every command in README and CONTRIBUTING has the options that it is shown with."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator

import click
import pytest

from mmft_core import BackboneSpec, TaskSpec, discover
from mmft_core.cli import cli
from tests.docs.pages import ROOT

_SH = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"(?:^|&& |bin/)(mmft .*?)(?= && | < |$)", re.MULTILINE)


def commands() -> Iterator[str]:
    for name in ("README.md", "CONTRIBUTING.md"):
        for block in _SH.findall((ROOT / name).read_text(encoding="utf-8")):
            yield from _COMMAND.findall(re.sub(r"\\\n\s*", "", block))


@pytest.mark.parametrize("command", commands())
def test_a_command_parses(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click.Command, "invoke", lambda command, context: None)
    _, *arguments = shlex.split(command, comments=True)
    cli.main(arguments, prog_name="mmft", standalone_mode=False)  # It raises for what there is not.
    registry = discover()
    for flag, spec in (("--task", TaskSpec), ("--backbone", BackboneSpec)):
        for option, value in itertools.pairwise(arguments):
            if option == flag and not value.startswith("my-"):
                assert registry.get(spec, value.rpartition("=")[2])


def test_there_are_commands() -> None:
    assert len(list(commands())) > 20
