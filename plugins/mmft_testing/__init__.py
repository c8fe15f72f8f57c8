"""The conformance kit: whether a plugin's components do what the contract says.

A plugin's author puts it into a test of the plugin:

    # tests/test_conformance.py
    import pytest
    from mmft_testing import plugin_checks

    @pytest.mark.parametrize("check", plugin_checks("mmft_flowers"))
    def test_conformance(check):
        check()

Every component is built as small as its options allow, without network and from random weights,
and fed with samples of a bundled dataset that holds its modality, or of `data`.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mmft_core import PARTS, PROJECT, Component, ConfigurableSpec, discover, resolve
from mmft_core.errors import PluginError, did_you_mean

if TYPE_CHECKING:
    from mmft_testing.workbench import Workbench

__all__ = ["plugin_checks"]

_SLOW = ("graphs_are_of_any_batch",)


def plugin_checks(
    *plugins: str,
    settings: Mapping[str, Any] | None = None,
    prefer: Collection[str] = (),
    slow: Collection[str] = (),
    data: str | Path | None = None,
    skip: Mapping[str, str] | None = None,
) -> list[Any]:
    """Return the checks of plugins for `pytest.mark.parametrize`; each is called without arguments.

    Args:
        plugins: names of entry points, distributions or modules; a module need not be installed
            as a plugin yet. None for everything that is installed.
        settings: by dotted key, what makes components small: {"backbone.image_size": 32}. They
            go over the recommended defaults, and are passed over where a component lacks them.
        prefer: names of components that others are checked with: a small backbone.
        slow: names of components whose checks are marked `slow`, as those that trace graphs are.
        data: a file or folder with samples of the plugin's own, for what no bundled dataset fits;
            datasets that open such a path are built on it, and checked as bundled ones are.
        skip: checks that are not made, each with the reason; by the check's name, or for one
            component alone by what stands in the test's name: "flowers/flowernet-loss_is_finite".

    Raises:
        PluginError: there is no plugin of that name, or no check.
    """
    from mmft_testing import common
    from mmft_testing.workbench import Workbench

    points = _entry_points(plugins)
    installed = importlib.metadata.entry_points(group=PROJECT)
    registry = discover({*installed, *points})
    bench = Workbench(registry, settings or {}, prefer, None if data is None else Path(data))
    names = {point.name for point in points}
    params = []
    for point in sorted(points, key=lambda p: p.name):
        for ask in common.PLUGIN_CHECKS:
            bound = functools.partial(ask, registry, point)
            params.append(pytest.param(bound, id=f"{point.name}-{ask.__name__}"))
    for component in registry:
        if component.plugin.rpartition(":")[2] in names:
            for check in _checks(component, bench):
                takes_long = component.name in slow or check.__name__ in _SLOW
                marks = [pytest.mark.slow] if takes_long else []
                name = f"{component.qualified}-{check.__name__}"
                bound = functools.partial(check, bench, component)
                params.append(pytest.param(bound, id=name, marks=marks))
    return _without(params, skip or {})


def _without(params: list[Any], skip: Mapping[str, str]) -> list[Any]:
    """The checks with a mark on those that are not to be made."""
    ids = {param.id for param in params}
    known = ids | {name.rpartition("-")[2] for name in ids}
    for name in skip:
        if name not in known:
            raise PluginError(f"There is no check '{name}'.{did_you_mean(name, known)}")
    marked = []
    for param in params:
        reason = skip.get(param.id, skip.get(param.id.rpartition("-")[2]))
        marks = param.marks if reason is None else [*param.marks, pytest.mark.skip(reason=reason)]
        marked.append(pytest.param(*param.values, id=param.id, marks=marks))
    return marked


def _checks(component: Component[Any], bench: Workbench) -> list[Callable[[Workbench, Any], None]]:
    """The checks of a component, the simple ones first."""
    from mmft_testing import common, datasets, generators

    # Most kinds have a module of this package, called like them: backbones, commands, ...
    own = resolve(component.spec.checks or f"{__name__}.{component.kind}s:CHECKS")
    checks: list[Callable[[Workbench, Any], None]] = [*common.CHECKS]
    if isinstance(component.spec, ConfigurableSpec):
        checks += common.OPTION_CHECKS
    if component.kind in PARTS:
        checks += common.PART_CHECKS
    checks += own
    if getattr(component.spec, "bundled", False) or bench.opens(component):
        checks += datasets.BUNDLED_CHECKS
    if "generation" in getattr(component.spec, "provides", ()):
        checks += generators.CHECKS
    return checks


def _entry_points(plugins: Collection[str]) -> set[importlib.metadata.EntryPoint]:
    installed = importlib.metadata.entry_points(group=PROJECT)
    return {p for name in plugins for p in _named(name, installed)} if plugins else set(installed)


def _named(
    name: str, installed: importlib.metadata.EntryPoints
) -> Iterator[importlib.metadata.EntryPoint]:
    """The entry points that a name stands for, or one made up for a module."""
    found = [p for p in installed if name in (p.name, p.module, p.dist.name if p.dist else None)]
    if not found and importlib.util.find_spec(name) is None:
        known = ", ".join(sorted(p.name for p in installed))
        raise PluginError(f"There is no plugin and no module '{name}'. Plugins are: {known}.")
    yield from found or [importlib.metadata.EntryPoint(name, name, PROJECT)]
