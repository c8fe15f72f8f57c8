"""A new plugin goes all the way: written, installed by pip as a wheel, listed, run, checked."""

from __future__ import annotations

import contextlib
import json
import re
import site
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path

import pytest

from mmft_core.errors import ConfigError, RunDirectoryError, StorageError
from mmft_core.specs import PARTS
from mmft_scaffold.writing import write_plugin
from mmft_testing import plugin_checks
from tests.faults.processes import Cli, run_pytest
from tests.installed import python

NAMES = {"flowers-cnn", "flowers-patches", "flowers-cls", "flowers-accuracy"}


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a new plugin, with a component of each kind."""
    folder = tmp_path_factory.mktemp("new") / "mmft-flowers"
    wrote = python(folder.parent, folder.parent, "-m", "mmft_core", "new-plugin", "flowers")
    assert wrote.returncode == 0, wrote.stderr
    assert "--backbone flowers-cnn" in wrote.stdout
    return folder


@pytest.fixture(scope="module")
def installed(plugin: Path) -> Path:
    """A folder that pip has installed the plugin to, by way of a wheel."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    target = plugin.parent / "site"
    wheels = plugin.parent / "wheels"
    subprocess.run([*pip, "wheel", *offline, "-w", wheels, plugin], check=True, timeout=300)
    (wheel,) = wheels.glob("*.whl")
    assert wheel.name == "mmft_flowers-0.1.0-py3-none-any.whl"
    subprocess.run([*pip, "install", *offline, "-t", target, wheel], check=True, timeout=300)
    return target


@pytest.mark.slow
def test_it_is_listed(installed: Path, tmp_path: Path) -> None:
    listed = python(installed, tmp_path, "-m", "mmft_core", "plugins", "--json")
    components = json.loads(listed.stdout)["components"]
    own = [c for c in components if c["plugin"] == "flowers"]
    assert {c["name"] for c in own} == NAMES
    assert {(c["distribution"], c["version"]) for c in own} == {("mmft-flowers", "0.1.0")}
    assert "resnet50" in {c["name"] for c in components}


@pytest.mark.slow
def test_all_four_run_by_name(installed: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    parts = ("--task", "flowers-cls", "--backbone", "flowers-cnn", "--dataset", "flowers-patches")
    run = ("run", *parts, "--metric", "flowers-accuracy", "--epochs", 10, "--output", output)
    there = partial(site.addsitedir, str(installed))
    ran = Cli([str(word) for word in run], tmp_path / "log", there)
    assert ran.wait() == 0, ran.text
    results = json.loads((output / "results.json").read_text())
    assert results["metrics"]["test"]["flowers-accuracy"] > 0.8
    assert "mmft-flowers" in (output / "plugins.json").read_text()
    checked = Cli(["data", "check", "flowers-patches"], tmp_path / "log", there)
    assert checked.wait() in (0, 1), checked.text
    assert "samples" in checked.text


@pytest.mark.slow
def test_it_passes_its_own_tests(plugin: Path, installed: Path, tmp_path: Path) -> None:
    tests = partial(run_pytest, plugin, installed, ["-q", "-p", "no:cacheprovider", "tests"])
    ran = Cli([], tmp_path / "log", tests)
    assert ran.wait() == 0, ran.text
    assert "passed" in ran.text and "failed" not in ran.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("modality", "network", "dataset", "small"),
    [
        ("text", "cnn", "docstrings", {"backbone.vocabulary": 400}),
        ("audio", "cnn", "notes", {"backbone.window": 0.5}),
        ("tabular", "mlp", "wines", {"backbone.width": 16}),
    ],
)
def test_a_plugin_of_another_modality_works_as_written(
    modality: str,
    network: str,
    dataset: str,
    small,
    mmft,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_plugin(f"new-{modality}", PARTS, tmp_path / "plugin", modality)
    info = tmp_path / "plugin" / f"mmft_new_{modality}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {info.name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[mmft]\nnew-{modality} = mmft_new_{modality}\n")
    monkeypatch.syspath_prepend(str(tmp_path / "plugin"))
    task, backbone, data, metric = (
        f"new-{modality}-{part}" for part in ("cls", network, dataset, "accuracy")
    )
    parts = ("--task", task, "--backbone", backbone, "--dataset", data, "--metric", metric)
    run = ("--epochs", "4", "--set", "engine.workers=0", "-o", tmp_path / "run")
    ended = mmft("run", *parts, *run)
    assert ended.code == 0, ended.err
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["metrics"]["test"][metric] > 0.7
    checked = mmft("data", "check", data)
    assert checked.code in (0, 1) and "samples" in checked.out, checked.err
    further = ("--set", "engine.steps=2", "--weights", tmp_path / "run")
    again = mmft("run", *parts, *run[:-1], tmp_path / "again", *further)
    assert again.code == 0, again.err
    for check in plugin_checks(f"mmft_new_{modality}", settings=small, prefer=[backbone]):
        with contextlib.suppress(pytest.skip.Exception):
            check.values[0]()


@pytest.mark.parametrize("kinds", [PARTS, *((kind,) for kind in PARTS)], ids="-".join)
def test_what_is_written_is_whole_and_clean(kinds, tmp_path: Path) -> None:
    folder = tmp_path / "made" / "plugin"
    names = write_plugin("my-own", kinds, folder)
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["mmft"] == {"my-own": "mmft_my_own"}
    hooks = (folder / "mmft_my_own" / "__init__.py").read_text()
    assert {k for k in PARTS if f"def register_{k}" in hooks} == set(kinds)
    for path in re.findall(r'"mmft_my_own\.(\w+):(\w+)"', hooks):
        assert re.search(
            rf"^(class|def) {path[1]}\b", (folder / f"mmft_my_own/{path[0]}.py").read_text(), re.M
        )
    for kind in PARTS:
        assert (names[kind].startswith("my-own-")) == (kind in kinds)
    for command in (("check",), ("format", "--check")):
        ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", "."]
        subprocess.run(ruff, check=True, timeout=60, cwd=folder)


@pytest.mark.parametrize(
    "name, error, words",
    [
        ("Flowers", ConfigError, "'Flowers' is not a plugin name"),
        ("../flowers", ConfigError, "is not a plugin name"),
        ("my_flowers", ConfigError, "is not a plugin name"),
        ("mmft-flowers", ConfigError, "mmft new-plugin flowers"),
        ("vision", ConfigError, "A plugin 'vision' is installed already"),
        ("core", ConfigError, "There is a module mmft_core already"),
    ],
)
def test_names_that_are_none_or_taken(name: str, error: type[Exception], words: str, tmp_path):
    with pytest.raises(error, match=words):
        write_plugin(name, PARTS, tmp_path / "plugin")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "plugin"
    folder.mkdir()
    write_plugin("first", ("metric",), folder)  # An empty one will do.
    before = sorted(folder.rglob("*"))
    with pytest.raises(RunDirectoryError, match="exists already"):
        write_plugin("second", PARTS, folder)
    assert sorted(folder.rglob("*")) == before
    with pytest.raises(StorageError, match="cannot be written"):
        write_plugin("third", PARTS, folder / "pyproject.toml" / "below")


def test_a_mistyped_kind(mmft) -> None:
    ended = mmft("new-plugin", "flowers", "--kind", "bacbone")
    assert ended.code == 2
    assert "'bacbone' is not one of 'backbone'" in ended.err
