"""A new plugin's package: from templates, working from the start.

What the templates hold is a plugin author's affair; this module knows of kinds and of names alone.
"""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import importlib.util
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mmft_core import PARTS, PROJECT
from mmft_core.errors import ConfigError, RunDirectoryError
from mmft_core.utils import replacing_folder
from mmft_report.templating import templates

_FILES: dict[str, tuple[str, tuple[str, ...]]] = {
    "pyproject.toml": ("pyproject.toml", PARTS),
    "README.md": ("README.md", PARTS),
    "gitignore": (".gitignore", PARTS),
    "tests.yml": (".github/workflows/tests.yml", PARTS),
    "hooks.py": ("{package}/__init__.py", PARTS),
    "options.py": ("{package}/options.py", ("backbone", "dataset", "task")),
    "{modality}_network.py": ("{package}/network.py", ("backbone",)),
    "{modality}_data.py": ("{package}/data.py", ("dataset",)),
    "prototypes.py": ("{package}/prototypes.py", ("task",)),
    "balanced_accuracy.py": ("{package}/balanced_accuracy.py", ("metric",)),
    "test_conformance.py": ("tests/test_conformance.py", PARTS),
}
"""By template: which file comes of it, and the kinds of component of which one needs it."""

_TEMPLATES = importlib.resources.files("mmft_scaffold") / "templates"
_NETWORK = "_network.py.j2"


def modalities() -> list[str]:
    """Those that there are templates for; images first."""
    names = [file.name for file in _TEMPLATES.iterdir() if file.name.endswith(_NETWORK)]
    found = sorted(name.removesuffix(_NETWORK) for name in names)
    return sorted(found, key=lambda modality: modality != "image")


_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def distribution_name(name: str) -> str:
    """What pip calls the plugin of that name, which is also its default folder."""
    return f"{PROJECT}-{name}"


def write_plugin(
    name: str, kinds: Collection[str], folder: Path, modality: str = "image"
) -> dict[str, str]:
    """Write a pip package with one component of each kind, all of it or nothing.

    Args:
        name: of the plugin; its distribution, its module and its components are named after it.
        kinds: of component that it offers.
        folder: of the package; is made, and may be there if it is empty.
        modality: one of `modalities`, which its network reads.

    Returns:
        one name of each kind that fit together: its own, and built-in ones for kinds that it lacks.

    Raises:
        ConfigError: the name is not one, or taken.
        RunDirectoryError: the folder holds something.
        StorageError: it cannot be written.
    """
    check_name(name)
    if folder.is_symlink() or (folder.exists() and not _is_empty(folder)):
        raise RunDirectoryError(
            f"{folder} exists already.", hint="Choose another folder with --output, or remove it."
        )
    chosen = [kind for kind in PARTS if kind in kinds]
    values = _values(name, chosen, modality)
    with replacing_folder(folder) as temporary:
        for template, (path, users) in _FILES.items():
            if set(users) & set(chosen):
                target = temporary / path.format(package=values["package"])
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(
                    _render(template.format(modality=modality), values), encoding="utf-8"
                )
    return {kind: values[kind] for kind in PARTS}


def check_name(name: str) -> None:
    """Raises:
    ConfigError: it is not the name of a plugin, or another plugin or module has it.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"'{name}' is not a plugin name: use lower-case letters, digits and single hyphens, "
            "a letter first.",
            hint="For example: mmft new-plugin flowers.",
        )
    if name.startswith(f"{PROJECT}-"):
        raise ConfigError(
            f"The package will be called {distribution_name(name)}.",
            hint=f"Leave out the prefix: mmft new-plugin {name.removeprefix(PROJECT + '-')}.",
        )
    for point in importlib.metadata.entry_points(group=PROJECT):
        if point.name == name:
            owner = f", of {point.dist.name} {point.dist.version}" if point.dist else ""
            raise ConfigError(
                f"A plugin '{name}' is installed already{owner}.", hint="Choose another name."
            )
    module = _package(name)
    if importlib.util.find_spec(module) is not None:
        raise ConfigError(f"There is a module {module} already.", hint="Choose another name.")


def _package(name: str) -> str:
    return distribution_name(name).replace("-", "_")


def _values(name: str, kinds: list[str], modality: str) -> dict[str, Any]:
    """What the templates are filled with."""
    facts = tomllib.loads((_TEMPLATES / f"{modality}_facts.toml").read_text(encoding="utf-8"))
    own = {
        "backbone": facts["backbone"],
        "dataset": facts["dataset"],
        "task": "cls",
        "metric": "accuracy",
    }
    others = {**facts["built_in"], "metric": "accuracy"}  # For kinds that it does not offer.
    components = {k: f"{name}-{own[k]}" if k in kinds else others[k] for k in PARTS}
    *most, last = (f"a {kind}" for kind in kinds)
    return {
        "name": name,
        "modality": modality,
        "facts": facts,
        "package": _package(name),
        "distribution": distribution_name(name),
        "kinds": kinds,
        "specs": sorted(f"{kind.capitalize()}Spec" for kind in kinds),
        "own": [components[kind] for kind in kinds],
        "offer": f"{', '.join(most)} and {last}" if most else last,
        **components,
    }


def _render(template: str, values: Mapping[str, Any]) -> str:
    # Nothing is escaped, for what is written is Python, TOML and Markdown.
    environment = templates("mmft_scaffold", keep_trailing_newline=True)
    return environment.get_template(f"{template}.j2").render(values)


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())
