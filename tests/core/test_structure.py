"""Neither packages of mmft_core nor plugins import each other in circles, even within functions."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import mmft_core
import mmft_vision

ROOT = Path(mmft_core.__file__).parent


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules that a file imports to be run, and not for its types alone."""
    if isinstance(tree, ast.If) and ast.unparse(tree.test) == "TYPE_CHECKING":
        return
    if isinstance(tree, ast.Import):
        yield from (name.name for name in tree.names)
    if isinstance(tree, ast.ImportFrom) and tree.module:
        # Of "from mmft_core import errors" the module is what is imported.
        yield from (f"{tree.module}.{name.name}" for name in tree.names)
    for child in ast.iter_child_nodes(tree):
        yield from imported(child)


def needs_of(files: Iterable[tuple[str, Path]], inside: str) -> dict[str, set[str]]:
    """For each unit, which other units its files import.

    Args:
        inside: what the modules of units begin with; a unit's name follows.
    """
    needs: dict[str, set[str]] = {}
    for unit, file in files:
        for module in imported(ast.parse(file.read_text(encoding="utf-8"))):
            if module.startswith(inside):
                needs.setdefault(unit, set()).add(module.removeprefix(inside).partition(".")[0])
        needs.get(unit, set()).discard(unit)
    return needs


def test_packages_do_not_import_each_other_in_circles() -> None:
    files = [(f.relative_to(ROOT).with_suffix("").parts[0], f) for f in ROOT.rglob("*.py")]
    needs = needs_of([(unit, f) for unit, f in files if unit != "__init__"], "mmft_core.")
    TopologicalSorter(needs).prepare()  # A CycleError names the circle.
    assert needs["cli"] > {"errors", "config"}


def test_the_core_imports_no_plugin_and_plugins_no_circle() -> None:
    plugins = Path(mmft_vision.__file__).parents[1]
    files = [(f.relative_to(plugins).parts[0][5:], f) for f in plugins.rglob("*.py")]
    needs = needs_of([*files, *(("core", f) for f in ROOT.rglob("*.py"))], "mmft_")
    TopologicalSorter(needs).prepare()
    assert not needs["core"], f"mmft_core imports {needs['core']}"
    assert "search" in needs["serve"]


def test_the_core_names_no_tracker() -> None:
    for file in ROOT.rglob("*.py"):
        text = file.read_text(encoding="utf-8").lower()
        assert not [name for name in ("tensorboard", "mlflow", "wandb") if name in text], file
