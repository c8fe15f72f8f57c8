"""Specs: what may be declared, and how a path is resolved."""

from __future__ import annotations

import dataclasses
import json

import pytest

from mmft_core import BackboneSpec, DatasetSpec, MetricSpec, TaskSpec
from mmft_core.errors import PluginError
from mmft_core.specs import resolve

COMMON = {"name": "x", "summary": "s", "build": "package.module:build"}


def backbone(**changes: object) -> BackboneSpec:
    return BackboneSpec(**{**COMMON, "modality": "image", **changes})


@pytest.mark.parametrize("name", ["a", "resnet50", "vit-b-16", "vgg11.bn_a", "3d"])
def test_sound_names(name: str) -> None:
    assert backbone(name=name).name == name


@pytest.mark.parametrize("name", ["", "A", "a/b", "a b", "-a", ".", "ä", "a\n", None, 3])
def test_unsound_names(name: object) -> None:
    with pytest.raises(PluginError, match=r"backbone name .* is not lower-case"):
        backbone(name=name)


@pytest.mark.parametrize("path", ["", "module", "a:b:c", "a.b", ":b", "a:", "a-b:c", "a:b()", 3])
@pytest.mark.parametrize("attribute", ["build", "options"])
def test_unsound_paths(attribute: str, path: object) -> None:
    with pytest.raises(PluginError, match=r"backbone 'x': .* is not a 'package.module:attribute'"):
        backbone(**{attribute: path})


@pytest.mark.parametrize(
    "make, attribute",
    [
        (backbone, "provides"),
        (backbone, "extras"),
        (lambda **c: DatasetSpec(**COMMON, targets=("class",), **c), "modalities"),
        (
            lambda **c: DatasetSpec(**COMMON, targets=("class",), modalities=("image",), **c),
            "opens",
        ),
        (
            lambda **c: TaskSpec(**COMMON, modalities=("image",), target="t", predicts="p", **c),
            "needs",
        ),
    ],
)
def test_a_string_where_a_tuple_belongs(make, attribute: str) -> None:
    with pytest.raises(PluginError, match=f"{attribute} is the string 'pooled', not a tuple"):
        make(**{attribute: "pooled"})


def test_specs_are_frozen_and_keyword_only() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        backbone().name = "y"  # type: ignore[misc]
    with pytest.raises(TypeError):
        MetricSpec("x", "s", "a:b")  # type: ignore[misc]


def test_modalities_of_each_kind() -> None:
    assert backbone().modality_names == ("image",)
    assert MetricSpec(**COMMON, measures="classes").modality_names == ()
    data = DatasetSpec(**COMMON, modalities=("image", "text"), targets=("none",))
    assert data.modality_names == ("image", "text")


def test_resolve_finds_nested_attributes() -> None:
    assert resolve("json:dumps") is json.dumps
    assert resolve("json:JSONEncoder.encode") is json.JSONEncoder.encode


@pytest.mark.parametrize(
    "path, reason",
    [
        ("no_such_module:x", "No module named 'no_such_module'"),
        ("json.no_such:x", "No module named 'json.no_such'"),
        ("json:no_such", "has no attribute 'no_such'"),
        ("json:dumps.no_such", "has no attribute 'no_such'"),
    ],
)
def test_resolve_says_what_is_missing(path: str, reason: str) -> None:
    with pytest.raises(PluginError, match=reason):
        resolve(path)
