"""The code on a page of the documentation, run from its first block to its last in one folder.

    <!-- test: add --epochs 1 -->      above a block: given to each command in it that trains
    <!-- test: exit 1 -->              how its commands end, if not with 0
    <!-- test: skip, and why -->       it is only read

Blocks of `sh` and `python` are run; others, as `console` and `text`, are there to be read. What has
a file's name as its title, of whatever language, is written to that file.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.faults.processes import Cli, run_pytest

ROOT = Path(__file__).parents[2]

_BLOCK = re.compile(
    r"(?P<notes>(?:^<!-- test: [^\n]*? -->\n)*)"
    r"^```(?P<language>\w+)(?: title=\"(?P<file>[^\"]+)\")?\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_RUN = ("sh", "python")
_NOTE = re.compile(r"<!-- test: (?P<word>\w+),? ?(?P<rest>.*?) -->")
_FOR_A_SHELL = re.compile(r"[|<>&;$`]")
_TRAINING = {"run", "sweep", "suggest"}
_ALONE = ("--set", "engine.workers=0")
"""Worker processes would take longer to start than they work."""


@dataclass(frozen=True)
class Block:
    """A block of code that is run, or written to a file."""

    line: int
    language: str
    file: str | None
    code: str
    notes: dict[str, str]


def blocks(page: Path) -> list[Block]:
    """The blocks of a page that are not only to be read, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        notes = dict(_NOTE.findall(match["notes"]))
        line = text.count("\n", 0, match.start("code")) + 1
        if "skip" not in notes and (match["language"] in _RUN or match["file"]):
            found.append(Block(line, match["language"], match["file"], match["code"], notes))
    return found


def commands(code: str) -> Iterator[str]:
    """The commands of a shell block; lines that are no plain call of mmft or pip stay together."""
    script: list[str] = []
    for line in re.sub(r"\\\n\s*", "", code).splitlines():
        if re.match(r"(mmft|pip install) ", line) and not _FOR_A_SHELL.search(line):
            if script:
                yield "\n".join(script)
                script = []
            yield line
        else:
            script.append(line)
    if any(line.strip() for line in script):
        yield "\n".join(script)


@dataclass
class Reader:
    """Somebody who does what a page says, in the working directory.

    Attributes:
        site: the folder that `pip install` installs packages of the page to.
        port: what stands for 8000, which others may be using.
    """

    site: Path
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "page"})
    port: int = field(default_factory=lambda: _free_port())

    def do(self, block: Block) -> None:
        """Run a block, or write its file.

        Raises:
            AssertionError: a command did not end as the page says.
        """
        code = block.code.replace("8000", str(self.port))
        code = code.replace("mmft serve ", "mmft serve --drain-delay 0 ")
        if block.file:
            Path(block.file).parent.mkdir(parents=True, exist_ok=True)
            Path(block.file).write_text(code, encoding="utf-8")
            return
        if block.language == "python":
            exec(compile(code, f"line {block.line}", "exec"), self.names)
            return
        for command in commands(code):
            ended = self._shell(command, block.notes.get("add", ""))
            assert ended == int(block.notes.get("exit", 0)), f"{command}\nended with {ended}"

    def _shell(self, command: str, more: str) -> int:
        first, *arguments = shlex.split(command, comments=True) or [""]
        if command.startswith("pip install "):
            return self._install([a for a in arguments[1:] if a != "-e"])
        if first == "mmft" and not _FOR_A_SHELL.search(command):
            added = [*_ALONE, *shlex.split(more)] if arguments[0] in _TRAINING else []
            return _mmft([*arguments, *added])
        if first == "pytest" and not _FOR_A_SHELL.search(command):
            return self._pytest(arguments)
        return self._bash(command)

    def _pytest(self, arguments: list[str]) -> int:
        """In a process that need not import torch anew."""
        tests = partial(run_pytest, Path.cwd(), self.site, arguments)
        process = Cli([], self.site.parent / "log", tests)
        code = process.wait()
        print(process.text)
        return code

    def _bash(self, script: str) -> int:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        modules = os.pathsep.join(filter(None, [str(self.site), os.environ.get("PYTHONPATH", "")]))
        environment = os.environ | {"PATH": path, "PYTHONPATH": modules}
        command = ["bash", "-euo", "pipefail", "-c", script]
        return subprocess.run(command, env=environment, timeout=120).returncode

    def _install(self, requirements: list[str]) -> int:
        """Packages of the page are installed apart; of mmft's extras it is seen that they are."""
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        offline = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(self.site)]
        for requirement in requirements:
            name, _, extra = requirement.rstrip("]").partition("[")
            if name == "mmft":
                assert set(extra.split(",")) <= set(extras["optional-dependencies"]), requirement
            else:
                (package,) = Path.cwd().glob(name)
                subprocess.run([*pip, *offline, str(package)], check=True, timeout=120)
        return 0


def _mmft(arguments: list[str]) -> int:
    """Call the command line in this process, for torch is imported already."""
    from mmft_core.cli import main

    try:
        main(arguments)
    except SystemExit as ending:
        return int(ending.code or 0)
    return 0


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
