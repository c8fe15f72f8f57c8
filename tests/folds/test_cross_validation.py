"""`mmft run --folds`: a run for each fold, their mean and spread, and going on after a kill."""

from __future__ import annotations

import json
import re
import signal
import statistics
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import Finished, make_photo_folder, run_arguments
from tests.faults.operations import die_after
from tests.faults.processes import Cli

Mmft = Callable[..., Finished]
Call = Callable[[Path], list[str]]

pytestmark = pytest.mark.usefixtures("tiny_backbone")

SHORT = ("--set", "engine.steps=4", "--set", "engine.eval_every=2", "--batch-size", "16")


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory, photographs: dict[str, Image.Image]) -> Call:
    """The arguments of a cross-validation of 60 pictures, given its folder."""
    photos = make_photo_folder(tmp_path_factory.mktemp("data") / "photos", photographs, 30)

    def arguments(output: Path) -> list[str]:
        more = (*SHORT, "--folds", "3", "--dataset", photos)
        given = run_arguments(output, *more, backbone="tiny")
        return [str(argument) for argument in given]

    return arguments


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, call: Call) -> tuple[Path, str]:
    """A cross-validation that nothing disturbed, and what it printed."""
    folder = tmp_path_factory.mktemp("whole")
    process = Cli(call(folder / "run"), folder / "log")
    assert process.wait() == 0, process.text
    return folder / "run", process.text


def load(file: Path) -> dict:
    return json.loads(file.read_text())


def test_each_fold_is_an_ordinary_run(whole: tuple[Path, str], mmft: Mmft) -> None:
    output, _ = whole
    sizes = []
    for number in (1, 2, 3):
        fold = output / f"fold-{number}"
        assert {"model", "results.json", "report.html", "config.toml"} <= {
            p.name for p in fold.iterdir()
        }
        config = tomllib.loads((fold / "config.toml").read_text())
        assert (config["folds"], config["fold"]) == (3, number)
        sizes.append(load(fold / "results.json")["dataset"]["samples"])
    assert sum(s["val"] for s in sizes) == 54 and {s["test"] for s in sizes} == {6}
    assert all(s["train"] + s["val"] == 54 for s in sizes)
    ended = mmft("eval", output / "fold-2", "--split", "val", "--json")
    assert ended.code == 0
    judged = json.loads(ended.out.splitlines()[-1])
    metrics = load(output / "fold-2" / "results.json")["metrics"]["val"]
    assert judged["samples"] == sizes[1]["val"], "eval judges the fold, not the data set's own val"
    assert judged["accuracy"] == pytest.approx(metrics["accuracy"], abs=0.01)


def test_mean_and_spread_are_of_the_folds(whole: tuple[Path, str]) -> None:
    output, printed = whole
    record = load(output / "folds.json")
    assert record["finished"] and record["folds"] == 3
    for split in ("val", "test"):
        values = [
            load(output / f"fold-{n}" / "results.json")["metrics"][split]["accuracy"]
            for n in (1, 2, 3)
        ]
        spread = record["figures"][split]["accuracy"]
        assert spread["folds"] == values
        assert spread["mean"] == pytest.approx(statistics.mean(values))
        assert spread["std"] == pytest.approx(statistics.stdev(values))
    assert f"test accuracy {spread['mean']:.4f} ± {spread['std']:.4f}" in printed


def test_the_page_needs_nothing_else(whole: tuple[Path, str]) -> None:
    output, _ = whole
    page = (output / "report.html").read_text()
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)
    record = load(output / "folds.json")
    spread = record["figures"]["val"]["accuracy"]
    assert f"{spread['mean']:.4f} ± {spread['std']:.4f}" in page
    assert page.count("<svg") == 2
    for number in (1, 2, 3):
        assert f'href="fold-{number}/report.html"' in page


def test_folds_start_alike_and_repeat(whole: tuple[Path, str], mmft: Mmft, tmp_path: Path) -> None:
    output, _ = whole
    ended = mmft("run", "-c", output / "fold-3" / "config.toml", "-o", tmp_path / "again")
    assert ended.code == 0, ended.err
    first, again = (
        (p / "model" / "model.safetensors").read_bytes()
        for p in (output / "fold-3", tmp_path / "again")
    )
    assert first == again


@pytest.mark.slow
def test_a_killed_one_goes_on_where_it_was(
    whole: tuple[Path, str], call: Call, tmp_path: Path
) -> None:
    undisturbed, _ = whole
    output, log = tmp_path / "run", tmp_path / "log"
    process = Cli(call(output), log, partial(die_after, output / "fold-2", 2))
    assert process.wait() == -signal.SIGKILL, process.text
    kept = (output / "fold-1" / "results.json").stat().st_mtime_ns
    process = Cli(["run", "--resume", output], log)
    assert process.wait() == 0, process.text
    assert "resuming at step 2 of 4" in process.text
    assert (output / "fold-1" / "results.json").stat().st_mtime_ns == kept
    figures = [load(o / "folds.json")["figures"] for o in (undisturbed, output)]
    assert figures[0] == figures[1]


def test_a_finished_one_is_not_resumed(whole: tuple[Path, str], mmft: Mmft) -> None:
    ended = mmft("run", "--resume", whole[0])
    assert ended.code == 2 and "All folds" in ended.err and "--set folds=none" in ended.err


@pytest.mark.parametrize("command", ["predict", "publish", "package"])
def test_it_has_no_model_of_its_own(
    whole: tuple[Path, str], mmft: Mmft, tmp_path: Path, command: str
) -> None:
    more = {"predict": ["x"], "publish": [], "package": ["--name", "x"]}[command]
    place = [] if command == "predict" else ["-o", tmp_path / "x"]
    ended = mmft(command, whole[0], *more, *place)
    assert ended.code == 2 and "has a model for each fold but none" in ended.err
    assert not (tmp_path / "x").exists()


def test_what_contradicts_is_refused(whole: tuple[Path, str], mmft: Mmft, tmp_path: Path) -> None:
    output = tmp_path / "run"
    output.mkdir()
    (output / "config.toml").write_text((whole[0] / "config.toml").read_text())
    ended = mmft("run", "--resume", output, "--folds", "4")
    assert ended.code == 2 and "folds is 3 in" in ended.err and "4 is given now" in ended.err
    ended = mmft("run", "--resume", whole[0] / "fold-1", "--folds", "3")
    assert ended.code == 2 and "is finished" in ended.err
    ended = mmft(*run_arguments(whole[0], "--folds", "3"))
    assert ended.code == 2 and "is not empty" in ended.err


def test_mistakes_leave_nothing_behind(tmp_path: Path, mmft: Mmft, photo_folder: Callable) -> None:
    photos, output = photo_folder(per_class=6), tmp_path / "out" / "run"
    ended = mmft(*run_arguments(output, "--folds", "1"))
    assert ended.code == 2 and "folds = 1 is not valid" in ended.err
    ended = mmft(*run_arguments(output, "--dataset", photos, "--folds", "7"))
    assert ended.code == 2 and "too few for 7 folds" in ended.err
    (photos / "china" / "000.jpg").write_bytes(b"no picture")
    ended = mmft(*run_arguments(output, "--dataset", photos, "--folds", "2"))
    assert ended.code == 2 and "000.jpg" in ended.err
    assert not output.exists()


def test_a_dry_run_says_the_folds(mmft: Mmft, tmp_path: Path) -> None:
    ended = mmft(*run_arguments(tmp_path / "run", "--folds", "5", "--dry-run"))
    assert ended.code == 0 and tomllib.loads(ended.out)["folds"] == 5
