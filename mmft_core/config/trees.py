"""Configuration trees: reading and merging layers of settings.

A tree is the content of a TOML file: nested dicts of plain values. Layers are merged in order, and
later ones win: recommended defaults of the chosen components, TOML files, options, `--set`.
`mmft_core.config.resolving` turns the tree into typed objects.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import tomli_w

from mmft_core.errors import ConfigError
from mmft_core.utils.files import printable

Tree: TypeAlias = dict[str, Any]


def read_toml(path: Path) -> Tree:
    """Read a TOML file.

    Raises:
        ConfigError: it is missing or is not TOML; names line and column.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"There is no configuration file {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from None


def dump_toml(tree: Mapping[str, Any]) -> str:
    """Write a tree as TOML. Unset values, which TOML has no word for, become "none"."""
    return tomli_w.dumps(_plain(tree))


def ensure_text(tree: Mapping[str, Any]) -> None:
    """Check that all settings can be written to a file.

    Raises:
        ConfigError: one cannot, such as a path that is not UTF-8.
    """
    for key, value in flatten(tree).items():
        if isinstance(value, str) and value != printable(value):
            raise ConfigError(
                f"{key} = {printable(value)} is not UTF-8, so it cannot be saved in config.toml.",
                hint="Rename the file or folder.",
            )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if value is None:
        return "none"
    return str(value) if isinstance(value, Path) else value


def merge(*trees: Mapping[str, Any]) -> Tree:
    """Merge trees; later ones win, table by table.

    A string that meets a table is the table's `name`: `task = "x"` is short for `task.name = "x"`.
    """
    merged: Tree = {}
    for tree in trees:
        for key, value in tree.items():
            below, above = merged.get(key), value
            if isinstance(below, str) and isinstance(above, Mapping):
                below = {"name": below}
            elif isinstance(below, Mapping) and isinstance(above, str):
                above = {"name": above}
            if isinstance(above, Mapping):
                above = merge(below if isinstance(below, Mapping) else {}, above)
            merged[key] = above
    return merged


def nest(dotted: Mapping[str, Any]) -> Tree:
    """Turn {"engine.lr": 1} into {"engine": {"lr": 1}}."""
    tree: Tree = {}
    for key, value in dotted.items():
        for part in reversed(key.split(".")):
            value = {part: value}
        tree = merge(tree, value)
    return tree


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn {"engine": {"lr": 1}} into {"engine.lr": 1}."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def parse_set(assignments: Iterable[str]) -> Tree:
    """Parse `--set KEY=VALUE` arguments. Values are TOML; what is not TOML is a string.

    Raises:
        ConfigError: an argument has no "=" or no key.
    """
    dotted: Tree = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not all(part.strip() for part in key.split(".")):
            raise ConfigError(
                f"--set '{assignment}' is not KEY=VALUE.", hint="For example: --set engine.lr=3e-4"
            )
        dotted[key.strip()] = toml_value(text.strip())
    return nest(dotted)


def toml_value(text: str) -> Any:
    """A value as TOML writes it; what is not TOML is a string."""
    try:
        value = tomllib.loads(f"value = {text}")["value"]
        tomllib.loads(f"values = [{text}]")  # It fails if a comment or another line follows.
    except tomllib.TOMLDecodeError:
        return text
    return value
