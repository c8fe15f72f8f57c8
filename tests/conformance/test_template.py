"""The third-party plugin in examples/: built, installed with pip, listed, run by name, checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TEMPLATE = Path(__file__).parents[2] / "examples" / "mmft-plugin-template"
NAMES = {"tiny-cnn", "photo-patches", "prototype-cls", "balanced-accuracy"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pip has installed the plugin to, by way of a wheel."""
    folder = tmp_path_factory.mktemp("template")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    source = folder / "source"
    subprocess.run(["cp", "-r", TEMPLATE, source], check=True)
    subprocess.run([*pip, "wheel", *offline, "-w", folder, source], check=True, timeout=300)
    (wheel,) = folder.glob("*.whl")
    target = folder / "site"
    subprocess.run([*pip, "install", *offline, "-t", target, wheel], check=True, timeout=300)
    return target


def python(installed: Path, folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python where the plugin is installed; its entry points are found on the path."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=500,
    )


def run(installed: Path, folder: Path, *arguments: object) -> dict:
    output = folder / "run"
    common = ("run", "--weights", "none", "--output", output)
    ran = python(installed, folder, "-m", "mmft_core", *common, *arguments)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return json.loads((output / "results.json").read_text())


def test_it_is_listed(installed: Path, tmp_path: Path) -> None:
    listed = python(installed, tmp_path, "-m", "mmft_core", "plugins", "--json")
    components = json.loads(listed.stdout)["components"]
    own = [c for c in components if c["plugin"] == "template"]
    assert {c["name"] for c in own} == NAMES
    assert {(c["distribution"], c["version"]) for c in own} == {("mmft-plugin-template", "0.1.0")}
    assert "resnet50" in {c["name"] for c in components}


def test_without_it_its_names_are_unknown(tmp_path: Path) -> None:
    ran = python(tmp_path, tmp_path, "-m", "mmft_core", "plugins", "show", "tiny-cnn")
    assert ran.returncode == 2
    assert "There is no component named 'tiny-cnn'" in ran.stderr


def test_all_four_run_by_name(installed: Path, tmp_path: Path) -> None:
    results = run(
        installed,
        tmp_path,
        *("--task", "prototype-cls", "--backbone", "tiny-cnn"),
        *("--dataset", "photo-patches", "--metric", "balanced-accuracy"),
    )
    assert results["metrics"]["test"]["balanced-accuracy"] > 0.9
    parts = json.loads((tmp_path / "run" / "plugins.json").read_text())
    assert "mmft-plugin-template" in json.dumps(parts)
    again = python(installed, tmp_path, "-m", "mmft_core", "eval", tmp_path / "run")
    assert again.returncode == 0, again.stderr
    assert "balanced-accuracy" in again.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("--task", "image-cls", "--backbone", "tiny-cnn", "--metric", "accuracy"),
        (
            *("--task", "prototype-cls", "--backbone", "resnet18", "--metric", "balanced-accuracy"),
            *("--metric", "f1", "--dataset", "photo-patches"),
        ),
    ],
    ids=["its-backbone", "its-task-dataset-and-metric"],
)
def test_each_runs_with_the_built_in_ones(installed: Path, tmp_path: Path, arguments) -> None:
    assert run(installed, tmp_path, *arguments, "--epochs", 1)["metrics"]["test"]


def test_it_conforms(installed: Path, tmp_path: Path) -> None:
    pytest_ = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", tmp_path / "none.ini")
    (tmp_path / "none.ini").write_text("[pytest]\n")
    ran = python(installed, tmp_path, *pytest_, TEMPLATE / "tests")
    assert ran.returncode == 0, ran.stdout
    assert "passed" in ran.stdout and "failed" not in ran.stdout
