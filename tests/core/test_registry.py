"""The registry: names to components, and what is said when a name does not lead to one."""

from __future__ import annotations

import sys
from functools import partial

import pytest

from mmft_core import BackboneSpec, Component, DatasetSpec, Registry
from mmft_core.errors import AmbiguousNameError, MissingExtraError, UnknownComponentError
from mmft_core.registry import Failure, NoOptions


def net(name: str, plugin: str = "vision", **changes: object) -> Component:
    spec = BackboneSpec(
        **{"name": name, "summary": "s", "modality": "image", "build": "a:b", **changes}
    )
    return Component(spec=spec, plugin=plugin, distribution=f"{plugin}-dist", version="1.0")


def data(name: str) -> Component:
    spec = DatasetSpec(
        name=name, summary="s", modalities=("image",), targets=("class",), build="a:b"
    )
    return Component(spec=spec, plugin="vision", distribution="vision-dist", version="1.0")


TWO = Registry((net("resnet", "one"), net("resnet", "two"), net("vit", "one"), data("vit")))


def test_bare_and_qualified_names() -> None:
    assert TWO.get(BackboneSpec, "vit").qualified == "one/vit"
    assert TWO.get(BackboneSpec, "one/vit") is TWO.get(BackboneSpec, "vit")
    assert TWO.get(BackboneSpec, "two/resnet").plugin == "two"
    assert TWO.get(DatasetSpec, "vit").kind == "dataset"


def test_an_ambiguous_name_lists_all() -> None:
    with pytest.raises(AmbiguousNameError, match="Several plugins offer a backbone named 'resnet'"):
        TWO.get(BackboneSpec, "resnet")
    with pytest.raises(AmbiguousNameError, match=r"Say which: 'one/resnet', 'two/resnet'\."):
        TWO.find("resnet")


@pytest.mark.parametrize("name, near", [("resnt", "resnet"), ("two/resnt", "two/resnet")])
def test_an_unknown_name_names_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UnknownComponentError, match=f"Did you mean '{near}'.*--kind backbone"):
        TWO.get(BackboneSpec, name)


def test_an_unknown_name_far_from_all_has_no_suggestion() -> None:
    with pytest.raises(UnknownComponentError) as caught:
        TWO.get(BackboneSpec, "zzzzz")
    assert "mean" not in str(caught.value)


def test_a_name_of_another_kind_is_told() -> None:
    with pytest.raises(UnknownComponentError, match="There is a backbone of that name"):
        TWO.get(DatasetSpec, "resnet")


def test_broken_plugins_are_named_when_a_name_is_unknown() -> None:
    failure = Failure(plugin="audio", distribution="d", version="1", cause="cannot be imported")
    registry = Registry(TWO.components, (failure,))
    for look_up in (partial(registry.get, BackboneSpec), registry.find):
        with pytest.raises(UnknownComponentError, match=r"audio \(cannot be imported\)"):
            look_up("wav2vec")
    assert registry.get(BackboneSpec, "vit").name == "vit"


def test_find_gives_one_of_each_kind() -> None:
    assert [c.kind for c in TWO.find("vit")] == ["backbone", "dataset"]
    with pytest.raises(UnknownComponentError, match=r"no component named 'vti'.*mean 'vit'"):
        TWO.find("vti")


def test_build_receives_options_and_context(monkeypatch: pytest.MonkeyPatch) -> None:
    component = net("x", build="builtins:divmod")
    assert component.build(7, 4) == (1, 3)


def test_a_component_without_options_has_none() -> None:
    assert net("x").options_type() is NoOptions
    options = "mmft_core.config.engine_config:EngineConfig"
    assert net("x", options=options).options_type().__name__ == "EngineConfig"


class TestExtras:
    """Extras: which are installed is read from the distribution's metadata."""

    METADATA = """\
        Provides-Extra: audio
        Provides-Extra: speech
        Provides-Extra: tools
        Requires-Dist: click
        Requires-Dist: no-such-package; extra == "audio"
        Requires-Dist: click>=1; extra == "speech"
        Requires-Dist: click>1000; extra == "tools"
        Requires-Dist: no-such-package; extra == "speech" and python_version < "3"
    """

    @pytest.mark.parametrize(
        "extras, missing",
        [
            ((), ()),
            (("audio",), ("audio",)),
            (("speech",), ()),
            (("tools",), ("tools",)),
            (("speech", "tools", "audio"), ("tools", "audio")),
        ],
    )
    def test_missing(self, site, one_backbone, extras, missing) -> None:
        source = one_backbone.format(name="n").replace("name=", f"extras={extras!r}, name=")
        site.install("acme-audio", acme=source, metadata=self.METADATA)
        (component,) = site.discover()
        assert component.missing_extras() == missing

    def test_building_says_what_to_install(self, site, one_backbone) -> None:
        source = one_backbone.format(name="n").replace("name=", 'extras=("audio", "tools"), name=')
        site.install("acme-audio", acme=source, metadata=self.METADATA)
        (component,) = site.discover()
        with pytest.raises(MissingExtraError, match=r"pip install 'acme-audio\[audio,tools\]'"):
            component.build(None, None)

    def test_nothing_is_imported_to_tell(self, site, one_backbone) -> None:
        source = one_backbone.format(name="n").replace('"a:b"', '"heavy:x", extras=("audio",)')
        site.install("acme-audio", {"acme": "acme"}, acme=source, heavy="", metadata=self.METADATA)
        (component,) = site.discover()
        with pytest.raises(MissingExtraError):
            component.build(None, None)
        assert "heavy" not in sys.modules
