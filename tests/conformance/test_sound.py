"""The kit passes a sound plugin that is not even installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mmft_core.errors import PluginError
from mmft_testing import plugin_checks


@pytest.mark.parametrize("check", plugin_checks("sound"))
def test_conformance(check) -> None:
    check()


def test_ids_name_plugin_component_and_check() -> None:
    ids = [param.id for param in plugin_checks("sound")]
    assert "sound/mean-gradients_reach_every_layer" in ids
    assert "sound-imports_nothing_heavy" in ids
    assert len(ids) == len(set(ids))


def test_only_what_was_asked_for_is_checked() -> None:
    assert all(param.id.startswith("sound") for param in plugin_checks("sound"))
    assert all(param.id.startswith("vision") for param in plugin_checks("mmft_vision"))
    assert {p.id for p in plugin_checks("vision")} == {p.id for p in plugin_checks("mmft_vision")}
    assert {p.id for p in plugin_checks("mmft")} >= {p.id for p in plugin_checks("vision")}
    assert not any(param.id.startswith("sound") for param in plugin_checks())


def test_slow_components_are_marked() -> None:
    params = plugin_checks("sound", slow=["mean"])
    marked = [p.id for p in params if any(mark.name == "slow" for mark in p.marks)]
    traced = [name for name in marked if name.endswith("-graphs_are_of_any_batch")]
    assert traced and len(marked) > len(traced)
    assert all(name.startswith("sound/mean-") or name in traced for name in marked)


def test_an_unknown_plugin() -> None:
    with pytest.raises(PluginError, match=r"no plugin and no module 'no_such'.*classification"):
        plugin_checks("no_such")


def test_importing_the_kit_imports_no_torch(tmp_path: Path) -> None:
    program = "import mmft_testing, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, timeout=60)
