"""A bug in a plugin is told as that plugin's, with the place in its code."""

from __future__ import annotations

import pytest

from mmft_core.errors import PluginError
from mmft_core.specs import resolve

HOOKS = """
    from mmft_core import DatasetSpec, hookimpl

    @hookimpl
    def register_dataset():
        return [
            DatasetSpec(
                name="acme-data",
                summary="s",
                modalities=("image",),
                targets=("class",),
                build="acme_data:build",
                describe="acme_data:describe",
            )
        ]
"""
BUG = """
    def describe(options, context):
        return {}["columns"]
"""


def test_a_traceback_ends_with_the_plugin_at_fault(site, mmft) -> None:
    points = {"acme": "acme", "data": "acme_data"}
    site.install("acme-plugin", points, acme=HOOKS, acme_data=BUG)
    with pytest.raises(KeyError) as caught:
        mmft("run", "--task=image-cls", "--backbone=resnet18", "--dataset=acme-data", "--dry-run")
    (note,) = caught.value.__notes__
    assert "fault of the plugin 'data' (acme-plugin 1.0), at acme_data, line 3;" in note


def test_a_bug_of_mmft_is_nobody_elses(site, mmft, monkeypatch, one_backbone: str) -> None:
    site.install("acme-plugin", acme=one_backbone.format(name="net"))
    monkeypatch.setattr("mmft_core.cli.plugins.discover", lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError) as caught:
        mmft("plugins")
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize(
    "source, cause",
    [
        ("import no_such_module", r"cannot be loaded: No module named 'no_such_module'\."),
        ("def build(:", r"cannot be loaded: SyntaxError: .*acme_net.py, line 1"),
        ("WIDTH = 1 / 0", r"ZeroDivisionError: division by zero \(acme_net, line 1\)\."),
    ],
)
def test_a_module_that_cannot_be_imported_is_told(site, source: str, cause: str) -> None:
    site.install("acme-plugin", {}, acme_net=source)
    with pytest.raises(PluginError, match=cause):
        resolve("acme_net:build")
