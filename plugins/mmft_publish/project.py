"""The files of a pip package beside its model: all that is not weights."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import mmft_core
from mmft_core import BackboneSpec, Component
from mmft_publish.names import Names
from mmft_publish.packaged import variable
from mmft_report.card import render

_MODULE = '''"""Backbones that were fine-tuned with mmft; `model/` holds what is known of them."""

from mmft_core import BackboneSpec, hookimpl
from mmft_publish.packaged import PackagedBackbone

{backbones}


@hookimpl
def register_backbone() -> list[BackboneSpec]:
    return [{specs}]
'''

_TEST = '''"""Whether the backbones keep mmft's contract."""

import pytest

from mmft_testing import plugin_checks


@pytest.mark.parametrize("check", plugin_checks("{module}"))
def test_conformance(check):
    check()
'''


def module_text(names: Names) -> str:
    """The module with the hook."""
    variables = {variable(m): m for m in names.backbones}
    backbones = [f"{v} = PackagedBackbone(__name__, {json.dumps(m)})" for v, m in variables.items()]
    specs = [f"{v}.spec()" for v in variables]
    return _MODULE.format(backbones="\n".join(backbones), specs=", ".join(specs))


def conformance_text(names: Names) -> str:
    """A test by the conformance kit."""
    return _TEST.format(module=names.module)


def readme(names: Names, facts: Mapping[str, Any], task: str, licence: str) -> str:
    """What it is, and how it is used."""
    first = next(iter(facts.values()))
    return render(
        "mmft_publish/package.md.j2",
        names=names,
        facts=facts,
        first=first,
        task=task,
        licence=licence,
    )


def pyproject(
    names: Names,
    version: str,
    licence: str,
    facts: Mapping[str, Any],
    origins: Collection[Component[BackboneSpec]],
) -> dict[str, Any]:
    """What is in pyproject.toml.

    Args:
        licence: as SPDX has it; empty for none.
        origins: the components whose code the backbones are.
    """
    project = {
        "name": names.distribution,
        "version": version,
        "description": "; ".join(f"{f['name']}: {f['summary']}" for f in facts.values()),
        "readme": "README.md",
        **({"license": licence} if licence else {}),
        "requires-python": ">=3.11",
        "dependencies": sorted({f"mmft>={mmft_core.__version__}", *map(_requirement, origins)}),
        "optional-dependencies": {"test": ["pytest>=9"]},
        "entry-points": {"mmft": {names.plugin: names.module}},
    }
    # A repository may have git ignore weights, but a wheel needs them.
    build = {"ignore-vcs": True, "targets": {"wheel": {"packages": [names.module]}}}
    return {
        "build-system": {"requires": ["hatchling>=1.27"], "build-backend": "hatchling.build"},
        "project": project,
        "tool": {"hatch": {"build": build}},
    }


def _requirement(component: Component[BackboneSpec]) -> str:
    """The distribution that holds a backbone's code, with what that needs."""
    extras = f"[{','.join(component.spec.extras)}]" if component.spec.extras else ""
    return f"{component.distribution}{extras}>={component.version}"
