"""Regression on tables as people have them: which rows are learned from, and on what scale."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmft_core import discover
from mmft_core.config.resolving import make_plan
from mmft_core.contracts.callbacks import Callback, TrainStep
from mmft_core.run.runner import resume, train
from tests.conftest import Finished

Mmft = Callable[..., Finished]

SETTINGS: Mapping[str, Any] = {
    "task": "fusion-reg",
    "backbone": {"tabular": {"name": "tabular-mlp"}},
    "engine": {"epochs": 2, "batch_size": 8, "workers": 0, "precision": "fp32"},
}
ARGUMENTS = (
    "--task=fusion-reg",
    "--backbone=tabular=tabular-mlp",
    "--set=engine.workers=0",
    "--set=engine.steps=3",
    "--set=engine.precision=fp32",
)


def write(path: Path, prices: Sequence[Any], areas: Sequence[Any] | None = None) -> Path:
    """Rows 1 to 30 are for train, then five for val and the others for test."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["area", "price", "split"])
        for k, price in enumerate(prices):
            split = "train" if k < 30 else "val" if k < 35 else "test"
            rows.writerow([areas[k] if areas else 10.5 + k, price, split])
    return path


def prices(changed: Mapping[int, Any]) -> list[Any]:
    return [changed.get(k, 100 + 3 * k) for k in range(40)]


def scale(run: Path) -> tuple[float, float]:
    mean, deviation = json.loads((run / "model" / "model.json").read_text())["info"]["target_scale"]
    return mean, deviation


BAD = {2: "N/A", 9: "", 17: "inf", 32: "-", 38: "1,250"}


def test_rows_that_cannot_be_learned_from_are_named_before_anything_is_done(
    mmft: Mmft, tmp_path: Path
) -> None:
    table = write(tmp_path / "t.csv", prices(BAD))
    ended = mmft("run", *ARGUMENTS, "--dataset", table, "-o", tmp_path / "run")
    assert ended.code == 2 and "5 of 40 samples cannot be used" in ended.err
    for row in BAD:
        assert f"t.csv, row {row + 1}: " in ended.err
    assert "dataset.formats.price=" in ended.err and not (tmp_path / "run").exists()
    checked = mmft("data", "check", table, "--task", "fusion-reg")
    assert checked.code == 1 and "4 cannot be read (unreadable)" in checked.out
    assert "1 without a label" in checked.out
    cleaned = mmft("data", "clean", table, "--task", "fusion-reg", "-o", tmp_path / "left.csv")
    assert cleaned.code == 0 and "35 samples left, 5 removed" in cleaned.out


def test_what_is_skipped_is_in_no_scale(mmft: Mmft, tmp_path: Path) -> None:
    """Neither rows without a number, nor numbers of rows that cannot be read for another reason."""
    areas = [10.5 + k if k != 5 else "wide" for k in range(40)]
    given = prices({**BAD, 5: 10**9})
    table = write(tmp_path / "t.csv", given, areas)
    run = tmp_path / "run"
    ended = mmft("run", *ARGUMENTS, "--dataset", table, "--on-bad-sample=skip", "-o", run)
    assert ended.code == 0, ended.err
    assert ended.out.count("! Left out of") == 6
    kept = [k for k in range(30) if k not in {*BAD, 5}]
    learned = [given[k] for k in kept]
    assert scale(run) == pytest.approx((np.mean(learned), np.std(learned)))
    columns = json.loads((run / "model/assets/tabular/columns.json").read_text())
    assert columns["numbers"]["area"][0] == pytest.approx(np.mean([areas[k] for k in kept]))
    assert json.loads((run / "results.json").read_text())["dataset"]["samples"] == {
        "train": 26, "val": 4, "test": 4
    }  # fmt: skip

    other = write(tmp_path / "other.csv", prices({3: "N/A", 4: "$5"}))
    judged = mmft("eval", run, "--dataset", other, "--on-bad-sample=fail")
    assert judged.code == 2 and "other.csv, row 4: its target 'N/A'" in judged.err
    assert "row 5: its target '$5' is in $" in judged.err
    judged = mmft("eval", run, "--dataset", other, "--on-bad-sample=skip", "--json")
    assert judged.code == 0 and json.loads(judged.out)["samples"] == 38
    told = mmft("predict", run, "--dataset", other, "--format", "jsonl")
    assert told.code == 0 and len(told.out.splitlines()) == 40, "predicting needs no targets"


@pytest.mark.parametrize("value", [5, 0.1, -1e6])
def test_targets_that_are_all_the_same_are_told(mmft: Mmft, tmp_path: Path, value: float) -> None:
    table = write(tmp_path / "t.csv", [value] * 40)
    ended = mmft("run", *ARGUMENTS, "--dataset", table, "-o", tmp_path / "run")
    assert ended.code == 0, ended.err
    assert f"all targets of train are {value:.7g}, so there is nothing to learn" in ended.out
    assert "r2: undefined, because all targets are" in ended.out
    assert scale(tmp_path / "run") == (value, 0.0)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["metrics"]["test"]["r2"] is None
    assert results["metrics"]["test"]["mae"] < 10
    assert f"all targets of train are {value:.7g}" in mmft(
        "data", "check", table, "--task", "fusion-reg"
    ).out  # fmt: skip


class StopAt(Callback):
    """Asks for an end after a step, as Ctrl-C does."""

    def __init__(self, step: int) -> None:
        self.at = step

    def on_step(self, event: TrainStep) -> None:
        if event.step == self.at:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_run_that_goes_on_keeps_its_scale(tmp_path: Path) -> None:
    areas = [10.5 + k if k != 5 else "wide" for k in range(40)]
    table = write(tmp_path / "t.csv", prices({5: 10**9}), areas)
    settings = {**SETTINGS, "dataset": {"path": str(table)}, "on_bad_sample": "skip"}
    plan = make_plan(settings, discover())
    whole = train(plan, tmp_path / "whole", [Callback()])
    assert train(plan, tmp_path / "cut", [StopAt(3)]).fit.ending == "interrupted"
    stored = json.loads((tmp_path / "cut" / "data.json").read_text())["target_scale"]
    assert stored[0] < 1000
    gone_on = resume(tmp_path / "cut", make_plan(plan.tree(), discover()), [Callback()])
    assert whole.results is not None and gone_on.results is not None
    assert gone_on.results["metrics"] == whole.results["metrics"]
    assert scale(tmp_path / "cut") == scale(tmp_path / "whole") == tuple(stored)
