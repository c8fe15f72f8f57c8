"""Checks of plugins as a whole, and those that components of all kinds have in common."""

from __future__ import annotations

import contextlib
import importlib.metadata
from typing import Any

from mmft_core import Component, ConfigurableSpec, PartSpec, Registry, Spec, resolve
from mmft_core.config import describe, recommended_settings
from mmft_testing.tools import modules_after, skip_without_extras
from mmft_testing.workbench import Workbench

HEAVY = ("torch", "jax", "tensorflow", "transformers")
"""What takes seconds to import, and must not be needed to list what is installed."""

EntryPoint = importlib.metadata.EntryPoint


def loads(registry: Registry, point: EntryPoint) -> None:
    """Every hook of the plugin answers with specs."""
    failures = [f for f in registry.failures if f.plugin.rpartition(":")[2] == point.name]
    assert not failures, "; ".join(f.cause for f in failures)


def imports_nothing_heavy(registry: Registry, point: EntryPoint) -> None:
    """Importing the plugin's module imports no torch: the work is done in sibling modules."""
    assert_light(f"import {point.module}", point.module)


def options_import_nothing_heavy(registry: Registry, point: EntryPoint) -> None:
    """Nor does importing the modules of its options."""
    components = [c for c in registry if c.plugin.rpartition(":")[2] == point.name]
    paths = {c.spec.options for c in components if isinstance(c.spec, ConfigurableSpec)} - {None}
    modules = sorted({str(path).partition(":")[0] for path in paths})
    # Together first, for starting Python takes longer than they do; one by one to say which it is.
    imported, errors = modules_after("\n".join(f"import {module}" for module in modules))
    if errors or imported.intersection(HEAVY):
        for module in modules:
            assert_light(f"import {module}", module)


def assert_light(program: str, module: str) -> None:
    imported, errors = modules_after(program)
    assert not errors, f"{module} cannot be imported: {errors}"
    heavy = [name for name in HEAVY if name in imported]
    assert not heavy, f"importing {module} imports {', '.join(heavy)}"


PLUGIN_CHECKS = (loads, imports_nothing_heavy, options_import_nothing_heavy)


def build_path_resolves(bench: Workbench, component: Component[Spec]) -> None:
    """`build` names something that can be called."""
    skip_without_extras(component)
    assert callable(resolve(component.spec.build)), f"{component.spec.build} is not callable"


def options_are_frozen_and_documented(bench: Workbench, component: Component[Spec]) -> None:
    """The options are a frozen dataclass; each has a type, a sound default and a description."""
    options_type = component.options_type()
    parameters: Any = options_type.__dataclass_params__
    assert parameters.frozen, f"{options_type.__name__} is not frozen"
    for option in describe(options_type):
        assert option.description, f"the option {option.name} has no description"


def defaults_are_settings(bench: Workbench, component: Component[PartSpec]) -> None:
    """The recommended settings are settings that there are; options of other parts may vary."""
    recommended_settings(component, component.spec.defaults)
    recommended_settings(component, component.spec.from_scratch, from_scratch=True)


def extras_are_declared(bench: Workbench, component: Component[Spec]) -> None:
    """The extras that it names are extras of its distribution."""
    if component.spec.extras:
        declared: set[str] = set()
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # It is not installed.
            metadata = importlib.metadata.metadata(component.distribution)
            declared = {e.replace("_", "-") for e in metadata.get_all("Provides-Extra") or ()}
        strange = {e.replace("_", "-") for e in component.spec.extras} - declared
        assert not strange, f"{component.distribution} declares no extra {', '.join(strange)}"


CHECKS = (build_path_resolves, extras_are_declared)
OPTION_CHECKS = (options_are_frozen_and_documented,)
"""Of what has options."""
PART_CHECKS = (defaults_are_settings,)
"""Of what a run is made of."""
