"""Undefined figures through everything that shows, keeps or compares figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmft_core.engine.metrics_log import read_metrics
from tests.conftest import Finished, crops, run_arguments

pytestmark = pytest.mark.usefixtures("tiny_backbone")


def strictly(text: str) -> Any:
    """Parse JSON as the standard has it, without NaN and Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, photographs: dict[str, Any]) -> Path:
    """Three classes to learn; val has two of them, test has one."""
    root = tmp_path_factory.mktemp("uneven") / "photos"
    china, flower = photographs["china"], photographs["flower"]
    pictures = {"china": china, "flower": flower, "grey": china.convert("L").convert("RGB")}
    has = {"train": (8, 8, 8), "val": (3, 3, 0), "test": (3, 0, 0)}
    for split, counts in has.items():
        for (name, picture), count in zip(pictures.items(), counts, strict=True):
            for number, crop in enumerate(crops(picture, count, seed=count)):
                place = root / split / name / f"{number}.png"
                place.parent.mkdir(parents=True, exist_ok=True)
                crop.resize((32, 32)).save(place)
    return root


def call(mmft: Callable[..., Finished], output: Path, folder: Path, *more: str) -> Finished:
    more = ("--dataset", str(folder), "--set", "engine.log_every=1", *more)
    return mmft(*run_arguments(output, *more, backbone="tiny"))


def test_undefined_figures_are_null_and_told(
    mmft: Callable[..., Finished], folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    ended = call(mmft, run, folder, "--epochs", "2")
    assert ended.code == 0, ended.err
    assert "val has no sample of 1 of 3 classes: grey (8 in train)" in ended.out
    assert "test has no sample of 2 of 3 classes: flower (8 in train); grey (8" in ended.out
    assert "! val: roc-auc: undefined for 1 of 3 classes, which have no samples" in ended.out
    assert "! test: roc-auc: undefined for 3 of 3 classes" in ended.out

    results = strictly((run / "results.json").read_text())
    test = results["metrics"]["test"]
    assert test["roc-auc/macro"] is None and test["roc-auc/per-class"] == [None] * 3
    assert test["recall/per-class"][1:] == [None, None]
    assert test["recall/macro"] == test["recall/per-class"][0] == pytest.approx(test["accuracy"])
    assert any("recall" in remark for remark in results["remarks"]["test"])
    row = next(line for line in ended.out.splitlines() if line.startswith("roc-auc/macro"))
    assert row.split()[2] == "–"

    lines = [strictly(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    judged = [line for line in lines if "split" in line]
    assert all(isinstance(v, float | int | str) for line in judged for v in line.values())
    assert "roc-auc/macro" in judged[0] and "roc-auc/macro" not in judged[-1]

    assert "Remarks on the metrics" in (run / "report.html").read_text()
    assert "| roc-auc/macro |" in (card := (run / "README.md").read_text()) and "| – |" in card
    (listed,) = strictly(mmft("runs", run, "--json").out)
    assert "roc-auc/macro" not in listed["figures"]["test"]

    judged = strictly(mmft("eval", run, "--dataset", folder / "test", "--json").out)
    assert judged["roc-auc/macro"] is None and "roc-auc" in " ".join(judged["remarks"])
    shown = mmft("eval", run, "--dataset", folder / "test")
    assert "roc-auc/macro" in shown.out and "! roc-auc: undefined for 3 of 3" in shown.out


def test_an_undefined_monitor_neither_chooses_nor_stops(
    mmft: Callable[..., Finished], folder: Path, tmp_path: Path
) -> None:
    single = tmp_path / "single"
    single.mkdir()
    for part, source in (("train", "train"), ("val", "test")):
        (single / part).symlink_to(folder / source, target_is_directory=True)
    monitor = ("--set", "engine.monitor=roc-auc/macro", "--set", "engine.patience=1")
    ended = call(mmft, tmp_path / "run", single, "--epochs", "4", *monitor)
    assert ended.code == 0, ended.err
    told = "roc-auc/macro cannot be used to choose the best model on val (undefined for"
    assert ended.out.count(told) == 1
    results = strictly((tmp_path / "run" / "results.json").read_text())
    assert results["ending"] == "finished" and results["monitor"]["best"] is None
    assert len([r for r in read_metrics(tmp_path / "run" / "metrics.jsonl") if "split" in r]) == 4
    assert "val loss" not in ended.out.splitlines()[-1]


def test_folds_average_what_is_defined(
    mmft: Callable[..., Finished], folder: Path, tmp_path: Path
) -> None:
    ended = call(mmft, tmp_path / "folds", folder, "--epochs", "1", "--folds", "2")
    assert ended.code == 0, ended.err
    record = strictly((tmp_path / "folds" / "folds.json").read_text())
    test = record["figures"]["test"]
    assert test["roc-auc/macro"] == {"mean": None, "std": None, "folds": [None, None]}
    assert test["accuracy"]["mean"] is not None
    assert "–" in next(line for line in ended.out.splitlines() if line.startswith("roc-auc/macro"))
    (listed,) = (r for r in strictly(mmft("runs", tmp_path, "--json").out) if r["kind"] == "folds")
    assert "roc-auc/macro" not in listed["figures"]["test"]
