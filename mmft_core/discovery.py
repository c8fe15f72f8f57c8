"""Discovering plugins by entry points; failures are recorded, and do not affect other plugins."""

from __future__ import annotations

import importlib.metadata
import inspect
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pluggy

from mmft_core import hookspecs
from mmft_core.errors import PluginError, did_you_mean, first_line
from mmft_core.plugin_errors import describe_error, kind_of
from mmft_core.registry import Component, Failure, Registry
from mmft_core.specs import API_VERSION, KINDS, OLDEST_API_VERSION, Spec

HOOKS = {f"register_{kind}": spec for kind, spec in KINDS.items()}


@dataclass(frozen=True, kw_only=True)
class _Source:
    """An entry point, with the label under which its components are qualified."""

    entry_point: importlib.metadata.EntryPoint
    plugin: str
    distribution: str
    version: str

    def cause(self, error: BaseException) -> str:
        return describe_error(error, self.entry_point.module.partition(".")[0])

    def failure(self, cause: str) -> Failure:
        return Failure(
            plugin=self.plugin, distribution=self.distribution, version=self.version, cause=cause
        )


def discover(
    entry_points: Iterable[importlib.metadata.EntryPoint] | None = None, *, strict: bool = False
) -> Registry:
    """Load every plugin of the entry-point group `mmft`.

    Args:
        entry_points: in place of those of the installed distributions, for tests.
        strict: make the first failure an error.

    Raises:
        PluginError: with `strict`, a plugin failed.
    """
    if entry_points is None:
        entry_points = importlib.metadata.entry_points(group=hookspecs.PROJECT)
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    components: list[Component[Spec]] = []
    failures: list[Failure] = []
    sources, clashes = _label(entry_points)
    failures += clashes
    for source in sources:
        found, problems = _load(manager, source)
        components += found
        failures += problems
    if strict and failures:
        raise PluginError(
            f"{len(failures)} plugin(s) failed and --strict-plugins was given: "
            + "; ".join(map(str, failures))
        )
    order = list(KINDS)
    components.sort(key=lambda c: (order.index(c.kind), _natural(c.name), c.plugin))
    return Registry(tuple(components), tuple(failures))


def _label(
    entry_points: Iterable[importlib.metadata.EntryPoint],
) -> tuple[list[_Source], list[Failure]]:
    """Give each entry point a unique label.

    Where two distributions declare one entry-point name, neither is preferred: both are labelled
    "distribution:name", and the clash is recorded. The same declaration twice is loaded once.
    """
    origin = cache(_origin)
    points = sorted(entry_points, key=lambda e: (e.name, origin(e.dist)[0], e.value))
    names = Counter(point.name for point in points)
    sources: list[_Source] = []
    failures: list[Failure] = []
    seen: set[str] = set()
    for point in points:
        distribution, version = origin(point.dist)
        source = _Source(
            entry_point=point, plugin=point.name, distribution=distribution, version=version
        )
        if names[point.name] > 1:
            rivals = sorted({origin(p.dist)[0] for p in points if p.name == point.name and p.dist})
            if len(rivals) > 1:
                source = replace(source, plugin=f"{distribution}:{point.name}")
                failures.append(
                    source.failure(
                        f"the plugin name '{point.name}' is declared by {' and '.join(rivals)}; "
                        f"use {source.plugin}/NAME for the components of this one"
                    )
                )
        if source.plugin in seen:
            failures.append(
                source.failure(f"the entry point '{point.name} = {point.value}' is declared twice")
            )
            continue
        seen.add(source.plugin)
        sources.append(source)
    return sources, failures


def _origin(distribution: importlib.metadata.Distribution | None) -> tuple[str, str]:
    """A distribution's name and version."""
    if distribution is None:
        return "unknown", "unknown"
    metadata = distribution.metadata  # Each look at it parses all of it.
    return metadata["Name"], metadata["Version"]


def _load(
    manager: pluggy.PluginManager, source: _Source
) -> tuple[list[Component[Spec]], list[Failure]]:
    """Load one plugin. A failure of one hook does not affect its other hooks."""
    try:
        plugin = source.entry_point.load()
        problems = list(_contract_problems(plugin))
        failures = [source.failure(strange) for strange in _unknown_hooks(plugin)]
    except (Exception, SystemExit) as error:  # A plugin may do anything while it is imported.
        return [], [source.failure(f"cannot be imported: {source.cause(error)}")]
    if problems:
        return [], [source.failure("; ".join(problems))]
    try:
        manager.register(plugin, name=source.plugin)
    except Exception as error:  # pluggy validates signatures here.
        if manager.has_plugin(source.plugin):
            manager.unregister(name=source.plugin)
        return [], [source.failure(source.cause(error))]
    components: list[Component[Spec]] = []
    implemented = {caller.name for caller in manager.get_hookcallers(plugin) or ()}
    for hook, spec_type in HOOKS.items():
        if hook not in implemented:
            continue
        try:
            specs = _call(manager, source.plugin, hook, spec_type)
            repeated = [n for n, k in Counter(spec.name for spec in specs).items() if k > 1]
            if repeated:
                raise PluginError(f"{hook}() returned the name '{repeated[0]}' twice")
        except PluginError as error:
            failures.append(source.failure(first_line(error)))
            continue
        except (Exception, SystemExit) as error:  # The hook is foreign code.
            failures.append(source.failure(f"{hook}() failed: {source.cause(error)}"))
            continue
        components += [
            Component(
                spec=spec,
                plugin=source.plugin,
                distribution=source.distribution,
                version=source.version,
            )
            for spec in specs
        ]
    return components, failures


def _contract_problems(plugin: Any) -> Iterator[str]:
    """Why a plugin cannot be used at all, as far as pluggy does not report it."""
    version = getattr(plugin, "MMFT_API_VERSION", OLDEST_API_VERSION)
    if not (isinstance(version, int) and OLDEST_API_VERSION <= version <= API_VERSION):
        has = f"{OLDEST_API_VERSION} to {API_VERSION}"
        yield f"needs plugin API version {version!r:.60}, this mmft has {has}"
        return
    hooks, marked = _hooks(plugin)
    for name in sorted(hooks & HOOKS.keys()):
        if name not in marked:
            yield f"{name}() lacks the @hookimpl mark"
        elif inspect.signature(getattr(plugin, name)).parameters:
            yield f"{name}() takes arguments, but the hook passes none"
        elif inspect.isgeneratorfunction(getattr(plugin, name)):
            yield f"{name}() is a generator or a hook wrapper; return a list of specs"
    if not hooks:
        yield "it has no hook; expected one of " + ", ".join(HOOKS)


def _unknown_hooks(plugin: Any) -> Iterator[str]:
    """What is said about misspelt hooks, and hooks of another mmft; the others work."""
    for name in sorted(_hooks(plugin)[0] - HOOKS.keys()):
        yield f"there is no hook '{name}'.{did_you_mean(name, HOOKS)}"


def _hooks(plugin: Any) -> tuple[set[str], set[str]]:
    """What is a hook by its mark or its name; and what of this is marked."""
    marked = {n for n in dir(plugin) if hasattr(getattr(plugin, n, None), "mmft_impl")}
    named = {n for n in dir(plugin) if n.startswith("register_") and callable(getattr(plugin, n))}
    return marked | named, marked


def _call(
    manager: pluggy.PluginManager, plugin: str, hook: str, spec_type: type[Spec]
) -> Sequence[Spec]:
    """Call one hook that a plugin has and check what it returns."""
    others = [p for name, p in manager.list_name_plugin() if name != plugin]
    answers = manager.subset_hook_caller(hook, remove_plugins=others)()
    if not answers:  # pluggy leaves out a None.
        raise PluginError(f"{hook}() returned None, not a sequence of {spec_type.__name__}")
    (returned,) = answers
    if isinstance(returned, str) or not isinstance(returned, Sequence):
        raise PluginError(
            f"{hook}() returned {type(returned).__name__}, not a sequence of {spec_type.__name__}"
        )
    for spec in returned:
        if not isinstance(spec, spec_type):
            raise PluginError(
                f"{hook}() returned {kind_of(spec)} in its sequence, not a {spec_type.__name__}"
            )
    return returned


def _natural(name: str) -> list[str | int]:
    """A sort key by which "resnet50" comes before "resnet101"."""
    return [int(p) if p.isdecimal() else p for p in re.split(r"(\d+)", name)]
