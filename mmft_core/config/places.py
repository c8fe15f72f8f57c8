"""Settings that are paths, stored so that they work from other folders.

A relative path on the command line is relative to the working directory; in a settings file, to the
folder of that file. Files that mmft writes hold each path twice, relative to the file and absolute:
one as the setting, in the user's spelling, and the other below `[places]`. The relative path is
tried first, so a run directory can be used from any folder, and moved with its data or alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from msgspec import Meta

from mmft_core.config.layers import means
from mmft_core.config.plan import Plan, PlanPart
from mmft_core.config.trees import Tree, flatten, merge, nest, read_toml
from mmft_core.registry import Registry
from mmft_core.specs import DatasetSpec
from mmft_core.utils.files import user_path

PLACES_TABLE = "places"

Place = Annotated[str, Meta(extra={"place": True})]
"""An option that is a path, or may be one; those named `path` and `root` are anyway."""

_ALWAYS = ("path", "root")
_WEIGHTS = ("auto", "pretrained", "none", "run")


def dataset_places(dataset: PlanPart[DatasetSpec]) -> dict[str, str]:
    """The options of a data set that are paths, with their values."""
    options = {name: getattr(dataset.options, name) for name in _options(type(dataset.options))}
    return {n: v for n, v in options.items() if v and (n in _ALWAYS or _exists(v))}


def places(plan: Plan) -> dict[str, str]:
    """The settings of a plan that are paths, by their dotted keys."""
    found = {f"dataset.{name}": value for name, value in dataset_places(plan.dataset).items()}
    for modality, part in plan.backbones.items():
        if part.weights not in _WEIGHTS and _exists(part.weights):
            found[f"backbone.{modality}.weights"] = part.weights
    return found


def same_place(one: str, other: str) -> bool:
    """Whether two paths lead to the same file or folder."""
    first, second = _absolute(one), _absolute(other)
    try:
        return first == second or Path(first).samefile(second)
    except OSError:
        return False


def with_paths_of(plan: Plan, other: Plan) -> Plan:
    """A plan with the paths of another one, as far as both have the same parts."""
    dataset, backbones = plan.dataset, dict(plan.backbones)
    if dataset.component.qualified == other.dataset.component.qualified:
        names = _options(type(dataset.options))
        found = {name: getattr(other.dataset.options, name) for name in names}
        dataset = replace(dataset, options=replace(dataset.options, **found))
    for modality, part in plan.backbones.items():
        weights = other.backbones[modality].weights if modality in other.backbones else ""
        if part.weights not in _WEIGHTS and f"backbone.{modality}.weights" in places(other):
            backbones[modality] = replace(part, weights=weights)
    return replace(plan, dataset=dataset, backbones=backbones)


def moved(stored: Tree, given: Mapping[str, Any], registry: Registry) -> tuple[Tree, Tree]:
    """Apply the paths that say where the files of a run are now.

    Args:
        given: on the command line.

    Returns:
        the settings with these paths, and what else is given.
    """
    then, rest, found = flatten(stored), dict[str, Any](), dict[str, str]()
    for key, value in flatten(given).items():
        known = [k for k in then if means(key, k) and _is_path(k, then[k], stored, registry)]
        if known and isinstance(value, str) and _is_path(known[0], value, stored, registry):
            found |= {k: value for k in known if not same_place(str(then[k]), value)}
        else:
            rest[key] = value
    return merge(stored, nest(found)), nest(rest)


def portable(tree: Mapping[str, Any], paths: Mapping[str, str], folder: Path) -> Tree:
    """Settings as they are written to a file in a folder.

    Args:
        paths: those of the settings that are paths, with their values.
    """
    settings, others = {}, {}
    for key, value in paths.items():
        full = _absolute(value)
        near = _from(full, _absolute(folder))
        if near is None:
            settings[key] = full
        elif user_path(value).is_absolute():
            settings[key], others[key] = full, near
        else:
            settings[key], others[key] = near, full
    return merge(tree, nest(settings)) | ({PLACES_TABLE: others} if others else {})


def given_places(tree: Mapping[str, Any], plan: Plan) -> dict[str, str]:
    """The settings of a tree that are paths, by the plan that it resolves to."""
    known = places(plan)
    return {
        key: value
        for key, value in flatten(tree).items()
        if isinstance(value, str)
        and any(means(key, k) and same_place(value, v) for k, v in known.items())
    }


def rewritten(file: Path, folder: Path) -> Tree:
    """The settings of a file that mmft wrote, for a file in another folder.

    Raises:
        ConfigError: it cannot be read.
    """
    keys, tree = read_toml(file).get(PLACES_TABLE, {}), read_places(file)
    settings = flatten(tree)
    return portable(tree, {key: settings[key] for key in keys if key in settings}, folder)


def read_places(file: Path) -> Tree:
    """Read settings that mmft wrote, with paths that lead there from the working directory.

    Raises:
        ConfigError: there is no such file, or it is not TOML.
    """
    tree = read_toml(file)
    others, settings = tree.pop(PLACES_TABLE, {}), flatten(tree)
    if not isinstance(others, Mapping):
        return tree
    found = {
        key: _found(settings[key], other, file.parent)
        for key, other in others.items()
        if isinstance(settings.get(key), str) and isinstance(other, str)
    }
    return merge(tree, nest(found))


def read_settings_file(file: Path, registry: Registry) -> Tree:
    """Read settings that anybody wrote, in which paths are relative to the file.

    One that leads nowhere from there is left as it is: relative to the working directory.

    Raises:
        ConfigError: there is no such file, or it is not TOML.
    """
    tree = read_toml(file)
    if PLACES_TABLE in tree:
        return read_places(file)
    if isinstance(tree.get("dataset"), str):
        tree["dataset"] = {"name": tree["dataset"]}
    found = {}
    for key, value in flatten(tree).items():
        if isinstance(value, str) and _is_path(key, value, tree, registry):
            place = file.parent / user_path(value)
            if not user_path(value).is_absolute() and place.exists():
                found[key] = _shown(_absolute(place))
    if "dataset.name" in found:
        del tree["dataset"]["name"]
        found["dataset.path"] = found.pop("dataset.name")
    return merge(tree, nest(found))


def _is_path(key: str, value: Any, tree: Tree, registry: Registry) -> bool:
    """Whether a setting of a tree may be a path."""
    first, _, option = key.partition(".")
    if first == "backbone":
        return option.rpartition(".")[2] == "weights" and value not in _WEIGHTS
    if first != "dataset":
        return False
    datasets = {n: c for c in registry.of(DatasetSpec) for n in (c.name, c.qualified)}
    if option == "name":
        return value not in datasets
    chosen = datasets.get(str(tree["dataset"].get("name")))
    return option in (_ALWAYS if chosen is None else _options(chosen.options_type()))


def _options(options_type: type[Any]) -> list[str]:
    """The options that are paths, or may be."""
    hints = get_type_hints(options_type, include_extras=True)
    return [name for name, hint in hints.items() if name in _ALWAYS or _is_marked(hint)]


def _is_marked(hint: Any) -> bool:
    notes = (note for note in getattr(hint, "__metadata__", ()) if isinstance(note, Meta))
    return any((note.extra or {}).get("place") for note in notes)


def _found(setting: str, other: str, folder: Path) -> str:
    """Where a path of a settings file leads: its relative form first, then the absolute one."""
    spelled_whole = Path(setting).is_absolute()
    near, full = (other, setting) if spelled_whole else (setting, other)
    beside = _absolute(folder / near)
    place = beside if not full or Path(beside).exists() or not Path(full).exists() else full
    return place if spelled_whole else _shown(place)


def _shown(place: str) -> str:
    """An absolute path as seen from the working directory, if that is shorter."""
    near = _from(place, _absolute("."))
    return near if near is not None and len(near) < len(place) else place


def _from(place: str, folder: str) -> str | None:
    """An absolute path relative to a folder; None if they have nothing but the root in common."""
    try:
        shared = Path(os.path.commonpath([place, folder]))
    except ValueError:  # On Windows, on two drives.
        return None
    return None if shared == Path(shared.anchor) else os.path.relpath(place, folder)


def _absolute(path: str | Path) -> str:
    """Links are not followed: what they lead to may stay when what they lie in is moved."""
    return os.path.abspath(user_path(path))  # noqa: PTH100


def _exists(path: str) -> bool:
    return user_path(path).exists()
