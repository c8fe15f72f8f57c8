"""A package's public names: listed in its `__init__.pyi`, imported on first use.

So a plugin imports `Subset` from `mmft_core.data`, type checkers know its type, and importing the
package itself imports nothing, torch in particular.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any


def public_names(init: Path) -> dict[str, str]:
    """The public names of a package, with the module below it that each is from.

    Args:
        init: the package's `__init__.py`, beside which the list lies.
    """
    listed = ast.parse(init.with_suffix(".pyi").read_text(encoding="utf-8"))
    return {
        name.name: statement.module or ""  # "" for a module that is public as a whole.
        for statement in listed.body
        if isinstance(statement, ast.ImportFrom)
        for name in statement.names
    }


def on_demand(package: str, init: str) -> Callable[[str], Any]:
    """A package's `__getattr__`, by which it has its public names (PEP 562).

    Args:
        package: its `__name__`.
        init: its `__file__`.
    """
    names: dict[str, str] = {}

    def find(name: str) -> Any:
        if not names:
            names.update(public_names(Path(init)))
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if not names[name]:
            return importlib.import_module(f"{package}.{name}")
        return getattr(importlib.import_module(f"{package}.{names[name]}"), name)

    return find
