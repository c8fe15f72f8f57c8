"""Packages of mmft_core do not import each other in circles, not even within functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import mmft_core

ROOT = Path(mmft_core.__file__).parent


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules that a file imports to be run, and not for its types alone."""
    if isinstance(tree, ast.If) and ast.unparse(tree.test) == "TYPE_CHECKING":
        return
    if isinstance(tree, ast.ImportFrom) and tree.module:
        # Of "from mmft_core import parts" the module is what is imported.
        yield from (f"{tree.module}.{name.name}" for name in tree.names)
    for child in ast.iter_child_nodes(tree):
        yield from imported(child)


def test_packages_do_not_import_each_other_in_circles() -> None:
    needs: dict[str, set[str]] = {}
    for file in ROOT.rglob("*.py"):
        unit = file.relative_to(ROOT).with_suffix("").parts[0]
        if unit == "__init__":
            continue
        for module in imported(ast.parse(file.read_text(encoding="utf-8"))):
            package, *parts = module.split(".")
            if package == "mmft_core" and parts[0] != unit:
                needs.setdefault(unit, set()).add(parts[0])
    TopologicalSorter(needs).prepare()  # A CycleError names the circle.
    assert needs["cli"] > {"errors", "planning"}
