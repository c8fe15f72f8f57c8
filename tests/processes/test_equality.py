"""Two processes train as one does: the same losses and figures, for every task."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.processes.tasks import TASKS, calls
from tests.processes.tools import assert_alike, results, start_runs

SHARDED = ("captions", "pairs")
"""With batch norm and weights that two layers share; with a scalar parameter."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs NAME-1 and NAME-2, of one process and of two; NAME-shards of two, in shards."""
    folder = tmp_path_factory.mktemp("runs")
    made = calls(folder)
    made["folds"] = [*made["texts"], "--folds=2"]
    made["few"] = [*made["summaries"], "--set=dataset.val=0.05", "--set=dataset.test=0.05"]
    shards = [
        [*made[name], "--set=engine.parallel=fsdp", "-o", str(folder / f"{name}-shards")]
        for name in SHARDED
    ]
    wanted = {
        1: [[*call, "-o", str(folder / f"{name}-1")] for name, call in made.items()],
        2: [[*call, "-o", str(folder / f"{name}-2")] for name, call in made.items()] + shards,
    }
    started = {n: start_runs(n, folder / f"{n}.log", them) for n, them in wanted.items()}
    for process in started.values():
        code, text = process.end(540)
        assert code == 0, text
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_two_processes_are_one(folder: Path, name: str) -> None:
    assert_alike(folder / f"{name}-2", folder / f"{name}-1")


@pytest.mark.slow
@pytest.mark.parametrize("name", SHARDED)
def test_shards_are_the_whole(folder: Path, name: str) -> None:
    assert_alike(folder / f"{name}-shards", folder / f"{name}-1")


@pytest.mark.slow
def test_every_sample_is_judged_once(folder: Path) -> None:
    """Their number is odd, so no two processes have as many of them."""
    found = results(folder / "texts-2")
    judged = int(np.sum(found["metrics"]["val"]["confusion-matrix"]))
    assert judged == found["dataset"]["samples"]["val"] and judged % 2 == 1


@pytest.mark.slow
def test_more_processes_than_samples_of_an_evaluation(folder: Path) -> None:
    samples = results(folder / "few-2")["dataset"]["samples"]
    assert samples["val"] == samples["test"] == 1
    assert_alike(folder / "few-2", folder / "few-1")


@pytest.mark.slow
def test_a_cross_validation_in_two_processes_is_that_of_one(folder: Path) -> None:
    for fold in ("fold-1", "fold-2"):
        assert_alike(folder / "folds-2" / fold, folder / "folds-1" / fold)
    ones, twos = (json.loads((folder / f"folds-{n}" / "folds.json").read_text()) for n in (1, 2))
    assert ones["finished"] and twos["finished"]
    wanted = ones["figures"]["val"]["accuracy"]["mean"]
    assert twos["figures"]["val"]["accuracy"]["mean"] == pytest.approx(wanted)
