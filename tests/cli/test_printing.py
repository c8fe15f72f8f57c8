"""Everything that is printed goes through what escapes it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import mmft_core

ROOT = Path(mmft_core.__file__).parents[1]
PRINTERS = {"mmft_core/cli/terminal.py", "mmft_core/cli/tables.py"}
CLICK = {"echo", "secho", "style", "echo_via_pager"}
RICH = {"rich", "rich.markup", "rich.panel", "rich.table"}
"""Modules of rich whose objects take markup, or print on consoles of their own."""


def sources() -> Iterator[Path]:
    for folder in ("mmft_core", "plugins"):
        yield from (p for p in (ROOT / folder).rglob("*.py") if "templates" not in p.parts)


def prints(tree: ast.AST) -> Iterator[str]:
    """What prints text by itself, or makes what does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in RICH:
            yield f"import of {node.module}"
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        module, _, attribute = name.rpartition(".")
        if (
            name in ("print", "Console")
            or (module == "click" and attribute in CLICK)
            or (attribute == "write" and module.endswith(("stdout", "stderr")))
            or attribute == "from_markup"
        ):
            yield name


def test_nothing_prints_but_what_escapes() -> None:
    found = [
        f"{name}: {what}"
        for file in sources()
        if (name := file.relative_to(ROOT).as_posix()) not in PRINTERS
        for what in prints(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert not found, "print by mmft_core.cli.terminal and mmft_core.cli.tables"


def test_the_search_finds_what_prints() -> None:
    program = (
        "from rich.table import Table; print(1); click.echo(x); sys.stdout.write(x); Console(); "
        "Text.from_markup(x)"
    )
    assert len(list(prints(ast.parse(program)))) == 6
    assert not list(prints(ast.parse("echo(x); console().print(x); file.write(x)")))
