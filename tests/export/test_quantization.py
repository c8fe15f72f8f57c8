"""ONNX in 8 bits: how much smaller it becomes, and that it still predicts what the run does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Finished
from tests.export.runs import RUNS

Mmft = Callable[..., Finished]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_latencies", "onnx_operators")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return RUNS["image-cls"](tmp_path_factory.mktemp("convolutions"))


def exported(mmft: Mmft, run: Path, quantize: str) -> tuple[dict[str, Any], Finished]:
    """What `export.json` says of the comparison, and what the user is told."""
    few = ("--samples", "8", "--batch-size", "4", "--max-drop", "1")
    made = mmft("export", run, "--quantize", quantize, *few)
    assert made.code == 0, made.err
    told = json.loads((run / "export" / f"onnx-{quantize}" / "export.json").read_text())
    assert told["quantize"] == quantize
    return told["check"], made


def test_static_takes_convolutions(mmft: Mmft, run: Path) -> None:
    check, made = exported(mmft, run, "int8-static")
    assert check["export"]["megabytes"] < 0.35 * check["torch"]["megabytes"]
    assert 0 < check["difference"] < 0.5, "it is another network, and a similar one"
    assert "!" not in made.err


def test_dynamic_leaves_convolutions_and_says_so(mmft: Mmft, run: Path) -> None:
    check, made = exported(mmft, run, "int8")
    assert check["export"]["megabytes"] > 0.9 * check["torch"]["megabytes"]
    assert "--quantize int8-static quantizes them as well" in made.err
