"""What mmft 0.1.0 has written still works: a run, its export, a run that was killed, its settings.

`run`, `run/export/onnx` and `interrupted` were written by 0.1.0, with what it predicted then
(`predictions.jsonl`) and how it evaluated the run (`eval.json`).
"""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A copy of the files, moved to another place."""
    return Path(shutil.copytree(HERE, tmp_path / "earlier"))


def probabilities(lines: str) -> dict[str, Any]:
    found = [json.loads(line) for line in lines.splitlines()]
    return {line["input"]: (line["label"], round(line["probability"], 4)) for line in found}


@pytest.mark.parametrize("model", ["run", "run/export/onnx"])
def test_it_predicts_what_it_did(model: str, earlier: Path, mmft) -> None:
    ended = mmft("predict", earlier / model, "--dataset", earlier / "plants.csv")
    assert ended.code == 0, ended.err
    found = probabilities(ended.out)
    for name, (label, probability) in probabilities(
        (HERE / "predictions.jsonl").read_text()
    ).items():
        assert found[name][0] == label and found[name][1] == pytest.approx(probability, abs=2e-4)


def test_it_is_evaluated_as_it_was(earlier: Path, mmft) -> None:
    ended = mmft("eval", earlier / "run", "--json")
    assert ended.code == 0, ended.err
    found, then = json.loads(ended.out), json.loads((HERE / "eval.json").read_text())
    assert found["samples"] == then["samples"] and found["accuracy"] == then["accuracy"]
    assert found["loss"] == pytest.approx(then["loss"], abs=1e-4)


def test_an_evaluation_says_what_to_install(earlier: Path, mmft) -> None:
    for name in ("config.toml", "plugins.json"):
        file = earlier / "run" / name
        text = file.read_text().replace("fusion/fusion-cls", "heron/fusion-cls-2")
        text = text.replace(
            '"fusion-cls",\n    "plugin": "fusion"', '"fusion-cls-2",\n    "plugin": "heron"'
        )
        file.write_text(
            text.replace(
                '"heron",\n    "distribution": "mmft"', '"heron",\n    "distribution": "mmft-heron"'
            )
        )
    ended = mmft("eval", earlier / "run")
    assert ended.code == 2 and "no task named 'heron/fusion-cls-2'." in ended.err
    assert "pip install 'mmft-heron==0.1.0'" in ended.err and "Did you mean" not in ended.err


def test_a_killed_run_goes_on(earlier: Path, mmft) -> None:
    ended = mmft("run", "--resume", earlier / "interrupted")
    assert ended.code == 0, ended.err
    assert "resuming at step 4 of 300" in ended.out + ended.err
    results = json.loads((earlier / "interrupted" / "results.json").read_text())
    assert results["steps"] == 300 and results["metrics"]["test"]["accuracy"] > 0.5


def test_its_settings_repeat_the_run(earlier: Path, tmp_path: Path, mmft) -> None:
    again = tmp_path / "again"
    ended = mmft("run", "-c", earlier / "run" / "config.toml", "-o", again)
    assert ended.code == 0, ended.err
    then = json.loads((earlier / "run" / "results.json").read_text())
    assert json.loads((again / "results.json").read_text())["steps"] == then["steps"]
    assert "now called engine.gradient_accumulation_steps" in ended.err


@pytest.mark.parametrize(
    "name", ["mmft_core.testing:plugin_checks", "mmft_core.packaged:PackagedBackbone"]
)
def test_plugins_import_from_where_they_did(name: str) -> None:
    module, _, attribute = name.partition(":")
    assert callable(getattr(importlib.import_module(module), attribute))
