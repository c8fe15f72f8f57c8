"""Plugins that return whatever they like: isolated, recorded, and no trouble to the others."""

from __future__ import annotations

import importlib.metadata
import sys
import types
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mmft_core import BackboneSpec, MetricSpec, discover, hookimpl
from mmft_core.discovery import HOOKS

GOOD = MetricSpec(name="good", summary="s", build="a:b", measures="classes")


class Hostile:
    """Whatever is asked of it raises."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"no {name} for you")

    def __len__(self) -> int:
        raise RuntimeError("no length for you")

    def __repr__(self) -> str:
        raise RuntimeError("no words for you")


class Endless(list):
    def __iter__(self):
        raise MemoryError("too many of them")


def spec(fields: dict[str, Any]) -> Any:
    """A spec with fields as they come; what it refuses is raised in the hook."""
    common = {"name": "net", "summary": "s", "build": "a:b", "modality": "image"}
    return lambda: [BackboneSpec(**(common | fields))]


PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text("aB:. \n", max_size=9),
    st.binary(),
)
GARBAGE = st.recursive(
    PLAIN | st.builds(Hostile) | st.just(GOOD) | st.just(BackboneSpec) | st.builds(Endless),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(PLAIN, below, max_size=2),
    max_leaves=5,
)
NAMES = "name summary build options extras defaults from_scratch scratch modality provides colour"
FIELDS = st.dictionaries(st.sampled_from(NAMES.split()), GARBAGE, max_size=3)
ERRORS = st.sampled_from([Exception, KeyError, SystemExit, RecursionError, MemoryError, OSError])


def raiser(error: type[BaseException]) -> Any:
    def hook() -> Any:
        raise error("oh\nno")

    return hook


HOOK = st.one_of(GARBAGE.map(lambda value: lambda: value), FIELDS.map(spec), ERRORS.map(raiser))


def install(name: str, attributes: dict[str, Any]) -> importlib.metadata.EntryPoint:
    module = types.ModuleType(name)
    vars(module).update(attributes)
    sys.modules[name] = module
    return importlib.metadata.EntryPoint(name, name, "mmft")


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from([*HOOKS, "register_thing", "MMFT_API_VERSION"]), HOOK))
def test_garbage_of_one_plugin_is_isolated(hooks: dict[str, Any]) -> None:
    marked = {
        name: hookimpl(hook) if name.startswith("register_") else hook()
        for name, hook in hooks.items()
        if name.startswith("register_") or not _raises(hook)
    }
    check_isolated(marked)


@settings(max_examples=100)
@given(FIELDS)
def test_specs_of_garbage_are_refused_where_they_are_made(fields: dict[str, Any]) -> None:
    check_isolated({"register_backbone": hookimpl(spec(fields))})


def check_isolated(attributes: dict[str, Any]) -> None:
    """Discover a plugin of these attributes beside a sound one."""
    good = {"register_metric": hookimpl(lambda: [GOOD])}
    points = [install("garbage_plugin", attributes), install("sound_plugin", good)]
    try:
        registry = discover(points)
    finally:
        del sys.modules["garbage_plugin"], sys.modules["sound_plugin"]
    assert registry.get(MetricSpec, "sound_plugin/good").spec is GOOD
    assert {failure.plugin for failure in registry.failures} <= {"garbage_plugin"}
    for failure in registry.failures:
        assert "\n" not in str(failure)
    for component in registry:  # What came through can be listed.
        found = component.spec
        assert all(isinstance(text, str) for text in (found.name, found.summary, found.build))
        assert all(isinstance(text, str) for text in (*found.extras, *found.modality_names))
        assert all(isinstance(key, str) for key in (*found.defaults, *found.from_scratch))


def _raises(hook: Any) -> bool:
    try:
        hook()
    except BaseException:
        return True
    return False
