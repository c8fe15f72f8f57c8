"""Multi-label tasks from the command line, from a table to the report and the export."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mmft_core.cli import main

WORDS = {"cat": "meows", "dog": "barks", "bird": "sings"}
SMALL = [
    "--weights=none",
    "--set=backbone.size=tiny",
    "--set=backbone.vocabulary=300",
    "--set=backbone.max_length=24",
    "--set=engine.workers=0",
]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts that name every combination of three animals."""
    path = tmp_path_factory.mktemp("texts") / "animals.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "labels"])
        for k in range(160):
            own = [name for bit, name in enumerate(WORDS) if k >> bit & 1]
            told = " and ".join(f"the {name} {WORDS[name]}" for name in own)
            rows.writerow([f"On day {k // 8} {told or 'nothing is heard'}", ";".join(own)])
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, table: Path) -> Path:
    output = tmp_path_factory.mktemp("runs") / "run"
    names = ["--task=text-multilabel", "--backbone=bert-base", f"--dataset={table}"]
    more = ["--set=task.class_weights=auto", "--set=task.loss=focal", "--epochs=12", "--seed=1"]
    with pytest.MonkeyPatch.context() as patch:
        from mmft_transformers.options import SIZES
        from tests.conftest import NARROW

        patch.setitem(SIZES, "tiny", NARROW)
        main(["run", *names, *SMALL, "--set=engine.lr=5e-3", *more, "-o", str(output)])
    return output


def test_it_learns_and_keeps_its_thresholds(finished: Path) -> None:
    results = json.loads((finished / "results.json").read_text())
    values = results["metrics"]["test"]
    assert values["multilabel-map/macro"] > 0.9 and values["multilabel-f1/micro"] > 0.8
    kept = load_file(next((finished / "model").glob("*.safetensors")))["thresholds"]
    assert values["multilabel-f1/threshold"] == pytest.approx(kept.tolist())
    assert not torch.equal(kept, torch.full_like(kept, 0.5))


def test_predictions_list_the_labels(finished: Path, mmft: Callable) -> None:
    texts = ["On day 3 the cat meows and the bird sings", "On day 9 nothing is heard"]
    ended = mmft("predict", finished, *texts, "--format", "jsonl", "--top-k", "2")
    both, none = map(json.loads, ended.out.splitlines())
    assert set(both["labels"]) == {"cat", "bird"} and none["labels"] == []
    for record in (both, none):
        above = [t["label"] for t in record["top"] if t["probability"] > t["threshold"]]
        assert above == record["labels"] and len(record["top"]) == 2
    ended = mmft("predict", finished, *texts, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert set(json.loads(rows[0]["labels"])) == {"cat", "bird"} and rows[1]["labels"] == "[]"
    assert mmft("predict", finished, *texts).code == 0


def test_other_data_are_judged_and_unknown_labels_told(
    finished: Path, table: Path, mmft: Callable, tmp_path: Path
) -> None:
    ended = mmft("eval", finished, "--dataset", table, "--json")
    assert json.loads(ended.out)["multilabel-f1/micro"] > 0.8
    other = tmp_path / "other.csv"
    other.write_text("text,labels\nthe cat meows,cat\nthe cow moos,cow;cat\n")
    ended = mmft("eval", finished, "--dataset", other)
    assert ended.code == 2 and "its label 'cow' is not one of the model's" in ended.err


def test_the_report_has_the_labels_by_f1(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    for column in ("multilabel-f1", "multilabel-f1/support", "multilabel-f1/threshold"):
        assert column in page


@pytest.mark.usefixtures("quick_latencies", "onnx_operators")
def test_an_export_gives_the_same(finished: Path, table: Path, mmft: Callable) -> None:
    ended = mmft("export", finished, "--format", "onnx", "-o", finished / "onnx")
    assert ended.code == 0, ended.err
    found = [
        json.loads(mmft("eval", model, "--dataset", table, "--json").out)
        for model in (finished, finished / "onnx")
    ]
    for name in ("multilabel-map/macro", "multilabel-f1/micro", "multilabel-f1/threshold"):
        assert found[0][name] == pytest.approx(found[1][name], abs=1e-3)


def test_the_data_check_reads_labels(
    finished: Path, table: Path, mmft: Callable, tmp_path: Path
) -> None:
    ended = mmft("data", "check", table, "--task", "text-multilabel")
    assert ended.code == 0, ended.err
    assert "labels separated by ';'" in ended.out + ended.err
    clean = tmp_path / "clean.csv"
    assert mmft("data", "clean", table, "--task", "text-multilabel", "-o", clean).code == 0
    ended = mmft("eval", finished, "--dataset", clean, "--json")
    assert json.loads(ended.out)["multilabel-f1/micro"] > 0.8
    ended = mmft(
        "run", "--task=text-multilabel", "--backbone=bert-base", "--dataset", table, "--dry-run"
    )
    assert "3 labels from column 'labels': labels separated by ';'" in ended.out
