"""Layers of settings: later ones override earlier ones, however a setting is written.

Several spellings mean the same: `backbone = "resnet50"`, `backbone.name = "resnet50"` and
`backbone.image.name = "resnet50"`; `dataset = "./photos"` and `dataset.path = "./photos"`;
`optimizer = "sgd"` and `engine.optimizer = "sgd"`. So each layer is converted to the full spelling
before it is merged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmft_core.config.callback_choice import lay_over, renew
from mmft_core.config.engine_config import EngineConfig
from mmft_core.config.options import renamed
from mmft_core.config.trees import Tree, merge
from mmft_core.registry import Registry
from mmft_core.specs import BackboneSpec, DatasetSpec


def combine(layers: Iterable[Mapping[str, Any]], registry: Registry) -> Tree:
    """Merge layers of settings, later ones winning.

    In the result a backbone's name is in the table of its modality, a data set's path is not given
    as its name, optimizer and schedule are named in the table `engine`, settings of the engine have
    their present names, and all callbacks are listed, without signs.

    Raises:
        ConfigError: callbacks are not chosen by their names, or a layer gives a setting by both
            its names.
        UnknownComponentError, AmbiguousNameError: the name of a backbone or of a callback cannot
            be resolved.
    """
    merged: Tree = {}
    for layer in layers:
        spelled = dict(layer)
        if isinstance(layer.get("backbone"), str | Mapping):
            spelled["backbone"] = _backbone(_named(layer["backbone"]), registry)
            _forget_backbone(merged, spelled["backbone"])
        if isinstance(layer.get("dataset"), str | Mapping):
            spelled["dataset"] = _dataset(_named(layer["dataset"]), registry)
            if "name" in _named(layer["dataset"]):
                _forget_dataset(merged)
        if isinstance(layer.get("engine"), Mapping):
            spelled["engine"] = renamed(layer["engine"], EngineConfig, "engine")
        for key in ("optimizer", "schedule"):
            if isinstance(layer.get(key), str | Mapping):
                spelled[key] = _named(layer[key])
                if "name" in spelled[key]:
                    name = spelled[key].pop("name")
                    spelled = merge(spelled, {"engine": {key: name}})
        if "callbacks" in layer:
            spelled["callbacks"] = lay_over(merged.get("callbacks"), layer["callbacks"], registry)
        merged = merge(merged, spelled)
    return renew(merged, registry)


def means(key: str, stored: str) -> bool:
    """Whether a key means a stored one: "backbone.weights" means that of any modality, and
    "callback.diary.file" that of the callback "acme/diary"."""
    if key == stored or key == re.sub(r"^(callback|metric)\.[^./]+/", r"\1.", stored):
        return True
    first, _, last = key.partition(".")
    return first == "backbone" and stored.startswith("backbone.") and stored.endswith(f".{last}")


def _named(value: str | Mapping[str, Any]) -> Tree:
    return {"name": value} if isinstance(value, str) else dict(value)


def _backbone(table: Tree, registry: Registry) -> Tree:
    """Move names into the tables of their modalities."""
    modalities = {c.spec.modality for c in registry.of(BackboneSpec)}
    for modality in modalities & table.keys():
        if isinstance(table[modality], str):
            table[modality] = {"name": table[modality]}
    name = table.get("name")
    if not isinstance(name, str) or not name:
        return table
    del table["name"]
    return merge({registry.get(BackboneSpec, name).spec.modality: {"name": name}}, table)


def _forget_backbone(merged: Tree, table: Tree) -> None:
    """Remove what was set for one modality and is now set for all."""
    for key, value in table.items():
        for own in _tables(merged.get("backbone")):
            if not isinstance(value, Mapping):
                own.pop(key, None)


def _dataset(table: Tree, registry: Registry) -> Tree:
    """Turn a name that is a path into one."""
    name = table.get("name")
    names = {n for c in registry.of(DatasetSpec) for n in (c.name, c.qualified)}
    if isinstance(name, str) and name not in names and _looks_like_path(name):
        del table["name"]
        table.setdefault("path", name)
    return table


def _forget_dataset(merged: Tree) -> None:
    """Drop the data set chosen so far, because a later layer chooses another."""
    if isinstance(merged.get("dataset"), dict):
        merged["dataset"] = {
            k: v for k, v in merged["dataset"].items() if k not in ("name", "path")
        }


def _tables(value: Any) -> list[Tree]:
    return [v for v in value.values() if isinstance(v, dict)] if isinstance(value, Mapping) else []


def _looks_like_path(name: str) -> bool:
    if not name:  # Not the working directory, which `Path` makes of it.
        return False
    return "/" in name or "\\" in name or Path(name).suffix != "" or Path(name).exists()
