"""Discovery: what a plugin offers is found; whatever is wrong with one leaves the others alone."""

from __future__ import annotations

import pytest

from mmft_core import BackboneSpec, DatasetSpec, TaskSpec, discover
from mmft_core.errors import PluginError

GOOD = """
    from mmft_core import BackboneSpec, DatasetSpec, MetricSpec, TaskSpec, hookimpl

    common = {"summary": "s", "build": "nowhere:nothing"}

    @hookimpl
    def register_backbone():
        return [BackboneSpec(name="net", modality="image", **common)]

    @hookimpl
    def register_dataset():
        return (DatasetSpec(name="data", modalities=("image",), targets=("class",), **common),)

    @hookimpl
    def register_task():
        return [
            TaskSpec(
                name="task", modalities=("image",), target="class", predicts="classes", **common
            )
        ]

    @hookimpl
    def register_metric():
        return [MetricSpec(name="metric", measures="classes", **common)]
"""

HOOK = """
    from mmft_core import BackboneSpec, DatasetSpec, hookimpl

    @hookimpl
    def register_backbone({arguments}):
        {body}
"""

NET = 'BackboneSpec(name="net2", summary="s", modality="image", build="a:b")'
DATA = 'DatasetSpec(name="d", summary="s", modalities=("image",), targets=("class",), build="a:b")'


def hook(body: str, arguments: str = "") -> str:
    return HOOK.format(body=body, arguments=arguments)


BROKEN = {
    "import error": ("import no_such_module", "cannot be imported.*No module named"),
    "syntax error": ("def (:", "cannot be imported: SyntaxError"),
    "any exception at import": ("raise KeyError('x')", "cannot be imported: KeyError: 'x'"),
    "exit at import": ("import sys; sys.exit('bye')", "cannot be imported: SystemExit: bye"),
    "exception in a hook": (
        hook("raise RuntimeError('oh\\nno')"),
        r"^register_backbone\(\) failed: RuntimeError: oh \(bad, line 6\)$",
    ),
    "exit in a hook": (hook("raise SystemExit(3)"), "SystemExit: 3"),
    "silent exception": (hook("raise ValueError"), r"failed: ValueError \(bad, line 6\)$"),
    "forgotten return": (hook(f"[{NET}]"), r"register_backbone\(\) returned None, not a seq"),
    "returns a string": (hook("return 'net'"), r"register_backbone\(\) returned str, not"),
    "returns a generator": (hook(f"return iter([{NET}])"), "returned list_iterator, not a seq"),
    "returns a single spec": (hook(f"return {NET}"), "returned BackboneSpec, not a sequence"),
    "returns another kind": (hook(f"return [{DATA}]"), "returned a DatasetSpec in its sequence"),
    "returns anything": (hook("return [1]"), "returned an int in its sequence"),
    "bad name": (hook(f"return [{NET.replace('net2', 'Net 2')}]"), "name 'Net 2' is not lower"),
    "bad path": (hook(f"return [{NET.replace('a:b', 'a.b')}]"), "'a.b' is not a 'package.module"),
    "one name twice": (hook(f"return [{NET}, {NET}]"), "returned the name 'net2' twice"),
    "misspelt hook": (
        hook("return []").replace("register_backbone", "register_backbones"),
        r"no hook 'register_backbones'. Did you mean 'register_backbone'\?",
    ),
    "misspelt, unmarked hook": (
        "def register_datasets(): return []",
        r"no hook 'register_datasets'. Did you mean 'register_dataset'\?",
    ),
    "unmarked hook": (hook("return []").replace("@hookimpl", ""), "lacks the @hookimpl mark"),
    "no hook at all": ("x = 1", "it has no hook; expected one of register_backbone"),
    "wrong signature": (hook("return []", "registry"), r"register_backbone\(\) takes arguments"),
    "generator": (hook(f"yield {NET}"), "is a generator or a hook wrapper; return a list"),
    "hook wrapper": (
        hook("return (yield)").replace("hookimpl\n    def", "hookimpl(wrapper=True)\n    def"),
        "is a generator or a hook wrapper; return a list",
    ),
    "another API version": (
        "MMFT_API_VERSION = 99\ndef register_flavour(): ...",
        "needs plugin API version 99, this mmft has 1 to 2",
    ),
}


def test_every_kind_is_found_with_its_source(site) -> None:
    site.install("acme-plugin", version="1.2", acme=GOOD)
    registry = site.discover()
    assert registry.failures == ()
    names = [(c.kind, c.name, c.qualified) for c in registry]
    assert names == [
        ("backbone", "net", "acme/net"),
        ("dataset", "data", "acme/data"),
        ("task", "task", "acme/task"),
        ("metric", "metric", "acme/metric"),
    ]
    assert {(c.plugin, c.distribution, c.version) for c in registry} == {
        ("acme", "acme-plugin", "1.2")
    }


@pytest.mark.parametrize("source, cause", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_plugin_is_recorded_and_the_others_work(site, source: str, cause: str) -> None:
    site.install("good", good=GOOD)
    site.install("bad-plugin", version="0.3", bad=source)
    registry = site.discover()
    assert [c.qualified for c in registry] == ["good/net", "good/data", "good/task", "good/metric"]
    (failure,) = registry.failures
    assert (failure.plugin, failure.distribution, failure.version) == ("bad", "bad-plugin", "0.3")
    with pytest.raises(AssertionError, match=cause):
        raise AssertionError(failure.cause)
    assert "\n" not in str(failure)


@pytest.mark.parametrize("source, cause", BROKEN.values(), ids=BROKEN.keys())
def test_strict_makes_a_broken_plugin_fatal(site, source: str, cause: str) -> None:
    site.install("bad-plugin", version="0.3", bad=source)
    with pytest.raises(PluginError, match=r"1 plugin.*bad \(bad-plugin 0.3\): ") as caught:
        site.discover(strict=True)
    assert str(site.discover().failures[0]) in str(caught.value)


def test_strict_passes_sound_plugins(site) -> None:
    site.install("good", good=GOOD)
    assert len(site.discover(strict=True).components) == 4


def test_ctrl_c_while_a_plugin_is_imported_is_not_swallowed(site) -> None:
    site.install("slow", slow="raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        site.discover()


def test_a_broken_hook_leaves_the_plugins_other_hooks(site) -> None:
    broken = GOOD.replace(
        'return [MetricSpec(name="metric"', 'return 1 / 0 and [MetricSpec(name="m"'
    )
    site.install("acme", acme=broken)
    registry = site.discover()
    assert [c.kind for c in registry] == ["backbone", "dataset", "task"]
    cause = registry.failures[0].cause
    assert cause == "register_metric() failed: ZeroDivisionError: division by zero (acme, line 24)"


def test_one_name_from_two_plugins_keeps_both(site, one_backbone: str) -> None:
    site.install("one", one=one_backbone.format(name="net"))
    site.install("two", two=one_backbone.format(name="net"))
    registry = site.discover()
    assert [c.qualified for c in registry] == ["one/net", "two/net"]
    assert registry.failures == ()


def test_one_entry_point_in_two_distributions_keeps_both_and_says_so(site, one_backbone) -> None:
    site.install("one", {"vision": "one"}, one=one_backbone.format(name="a"))
    site.install("two", {"vision": "two"}, two=one_backbone.format(name="b"))
    registry = site.discover()
    assert [c.qualified for c in registry] == ["one:vision/a", "two:vision/b"]
    causes = [f.cause for f in registry.failures]
    assert len(causes) == 2
    assert all("'vision' is declared by one and two" in cause for cause in causes)
    assert "use two:vision/NAME" in causes[1]
    assert registry.get(BackboneSpec, "two:vision/b").distribution == "two"


def test_the_same_declaration_twice_is_loaded_once(site, one_backbone) -> None:
    site.install("one", one=one_backbone.format(name="a"))
    points = site.points() * 2
    registry = discover(points)
    assert [c.qualified for c in registry] == ["one/a"]


def test_one_distribution_declaring_a_name_twice_is_told(site, one_backbone) -> None:
    modules = {name: one_backbone.format(name=name) for name in ("first", "second")}
    site.install("one", [("x", "first")], **modules)
    folder = next(site.root.glob("*.dist-info"))
    with (folder / "entry_points.txt").open("a") as file:
        file.write("x = second\n")
    registry = site.discover()
    assert [c.qualified for c in registry] == ["x/first"]
    assert "'x = second' is declared twice" in registry.failures[0].cause


def test_two_entry_points_to_one_module_both_work_or_say_why(site, one_backbone) -> None:
    site.install("one", [("x", "acme"), ("y", "acme")], acme=one_backbone.format(name="a"))
    registry = site.discover()
    assert [c.qualified for c in registry] == ["x/a"]
    assert "already registered" in registry.failures[0].cause


def test_a_plugin_may_be_an_object_in_a_module(site) -> None:
    source = """
        from mmft_core import BackboneSpec, hookimpl

        class Plugin:
            @hookimpl
            def register_backbone(self):
                return [BackboneSpec(name="a", summary="s", modality="x", build="a:b")]

        plugin = Plugin()
    """
    site.install("one", {"obj": "acme:plugin"}, acme=source)
    registry = site.discover()
    assert [c.qualified for c in registry] == ["obj/a"]
    assert registry.failures == ()


def test_a_plugin_object_that_raises_when_looked_at_is_isolated(site, one_backbone) -> None:
    source = """
        class Plugin:
            register_backbone = property(lambda self: 1 / 0)

        plugin = Plugin()
    """
    site.install("bad", {"bad": "acme:plugin"}, acme=source)
    site.install("good", good=one_backbone.format(name="a"))
    registry = site.discover()
    assert [c.name for c in registry] == ["a"]
    assert "ZeroDivisionError" in registry.failures[0].cause


def test_an_entry_point_without_distribution_is_loaded(site, one_backbone) -> None:
    from importlib.metadata import EntryPoint

    site.install("one", one=one_backbone.format(name="a"))
    registry = discover([EntryPoint("bare", "one", "mmft")])
    assert (registry.components[0].distribution, registry.components[0].version) == ("unknown",) * 2


def test_names_are_in_natural_order(site) -> None:
    names = ["net100", "net9", "a", "net9b", "9"]
    specs = ", ".join(NET.replace("net2", name) for name in names)
    site.install("one", one=hook(f"return [{specs}]"))
    assert [c.name for c in site.discover()] == ["9", "a", "net9", "net9b", "net100"]


def test_each_discovery_starts_afresh(site, one_backbone) -> None:
    site.install("one", one=one_backbone.format(name="a"))
    first = site.discover()
    site.install("two", two=one_backbone.format(name="b"))
    assert len(site.discover().components) == 2
    assert len(first.components) == 1


def test_the_built_in_plugins_come_by_the_public_route() -> None:
    registry = discover(strict=True)
    assert registry.get(TaskSpec, "image-cls").distribution == "mmft"
    assert registry.get(DatasetSpec, "vision/digits").plugin == "vision"


def test_a_hook_that_this_mmft_does_not_know_leaves_the_others(site) -> None:
    later = GOOD + "\n    @hookimpl\n    def register_flavour():\n        return []\n"
    site.install("acme", acme=later)
    registry = site.discover()
    assert [c.kind for c in registry] == ["backbone", "dataset", "task", "metric"]
    (failure,) = registry.failures
    assert failure.cause.startswith("there is no hook 'register_flavour'.")
    with pytest.raises(PluginError, match="register_flavour"):
        site.discover(strict=True)


@pytest.mark.parametrize("version", ["0", "99", "'1'", "None"])
def test_a_plugin_for_a_version_out_of_range_is_not_used(site, version: str) -> None:
    site.install("acme", acme=f"{GOOD}\n    MMFT_API_VERSION = {version}\n")
    registry = site.discover()
    assert not registry.components and "needs plugin API version" in registry.failures[0].cause
