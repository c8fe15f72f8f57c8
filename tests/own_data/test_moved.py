"""Runs and data that were moved: together, alone, and seen from other folders."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.own_data.tools import (
    IMAGE,
    KINDS,
    SHORT,
    Mmft,
    judged,
    kept_ids,
    mixed,
    predicted,
    read_csv,
    refused,
    run_arguments,
    stopped_run,
    texts,
    weights,
    write_csv,
)

pytestmark = pytest.mark.usefixtures("tiny_backbone", "two_layers")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Make data of some kind and a run on them that was stopped, all by relative paths."""

    def make(kind: str) -> Path:
        folder = tmp_path / "a"
        data = KINDS[kind].make(folder / "data")
        monkeypatch.chdir(folder)
        stopped_run(kind, data.relative_to(folder), "runs/stopped")
        monkeypatch.chdir(tmp_path)
        return data.relative_to(folder)

    return make


@pytest.mark.parametrize("kind", ["texts", "pictures", "mixed"])
def test_run_and_data_together(
    kind: str, project, tmp_path: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = project(kind)
    for name in "bcde":
        shutil.copytree("a", name)
    assert mmft("run", "--resume", "a/runs/stopped").code == 0, "seen from elsewhere"
    shutil.rmtree("a/data")
    wanted = weights(Path("a/runs/stopped"))
    ended = mmft("run", "--resume", "b/runs/stopped")
    assert ended.code == 0, ended.err
    ended = mmft("run", "--resume", "c/runs/stopped", "--dataset", Path("c") / data)
    assert ended.code == 0, ended.err
    ended = mmft("run", "--resume", "d/runs/stopped", f"--set=dataset.path=d/{data}")
    assert ended.code == 0, ended.err
    monkeypatch.chdir("e")
    assert mmft("run", "--resume", "runs/stopped").code == 0
    for name in "bcde":
        run = tmp_path / name / "runs" / "stopped"
        assert weights(run) == wanted, name
        assert judged(mmft, run)["samples"] == len(kept_ids(run, "test"))


def test_data_that_were_moved_alone(project, tmp_path: Path, mmft: Mmft) -> None:
    data = project("pictures")
    shutil.copytree("a", "never")
    (tmp_path / "disk").mkdir()
    shutil.move(tmp_path / "a" / data, tmp_path / "disk" / "photos")
    refused(mmft("run", "--resume", "a/runs/stopped"), "are no longer at", "--dataset PATH")
    ended = mmft("run", "--resume", "a/runs/stopped", "--dataset", "disk/photos")
    assert ended.code == 0, ended.err
    assert mmft("run", "--resume", "never/runs/stopped").code == 0
    assert weights(Path("a/runs/stopped")) == weights(Path("never/runs/stopped"))
    # It is known now where they are, from wherever one looks.
    assert judged(mmft, Path("a/runs/stopped")) == judged(mmft, Path("never/runs/stopped"))
    assert predicted(mmft, Path("a/runs/stopped"), "disk/photos", "test")


def test_other_data_are_refused(project, tmp_path: Path, mmft: Mmft) -> None:
    project("texts")
    rows = read_csv(tmp_path / "a" / "data" / "logs.csv")
    rows[4]["text"] = "A forgery."
    other = write_csv(tmp_path / "other.csv", rows)
    run = tmp_path / "a" / "runs" / "stopped"
    before = (run / "config.toml").read_text()
    for given in (("--dataset", other), (f"--set=dataset.path={other}",)):
        refused(mmft("run", "--resume", run, *given), "have changed", "other.csv, row 5")
    refused(mmft("run", "--resume", run, "--dataset", tmp_path / "a"), "is no table")
    refused(mmft("run", "--resume", run, "--dataset", tmp_path / "none.csv"), "are no longer at")
    refused(mmft("run", "--resume", run, "--dataset", other, "--lr", "0.5"), "engine.lr")
    refused(mmft("run", "--resume", run, "--dataset", "digits"), "dataset.name is")
    assert (run / "config.toml").read_text() == before
    assert mmft("run", "--resume", run).code == 0


def test_a_run_that_was_moved_alone(project, tmp_path: Path, mmft: Mmft) -> None:
    project("texts")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    run = Path(shutil.move(tmp_path / "a" / "runs" / "stopped", tmp_path / "deep" / "er" / "run"))
    assert mmft("run", "--resume", run).code == 0
    assert judged(mmft, run)["samples"] == len(kept_ids(run, "test"))


def test_the_copy_beside_a_run_goes_before_the_original(
    project, tmp_path: Path, mmft: Mmft
) -> None:
    data = project("texts")
    shutil.copytree("a", "b")
    rows = read_csv(tmp_path / "b" / data)
    rows[0]["text"] = "Only the copy says this."
    write_csv(tmp_path / "b" / data, rows)
    refused(mmft("run", "--resume", "b/runs/stopped"), "have changed", "logs.csv, row 1")
    assert mmft("run", "--resume", "a/runs/stopped").code == 0


def test_absolute_paths_stay_as_they_were_given(tmp_path: Path, mmft: Mmft) -> None:
    data, run = texts(tmp_path / "a"), tmp_path / "a" / "run"
    assert mmft(*run_arguments("texts", data, run)).code == 0
    config = tomllib.loads((run / "config.toml").read_text())
    assert config["dataset"]["path"] == str(data)
    assert config["places"] == {"dataset.path": "../logs.csv"}
    wanted = judged(mmft, run)
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert judged(mmft, tmp_path / "b" / "run") == wanted


class TestSettingsFiles:
    """`-c FILE` from any folder."""

    def test_of_a_run(self, tmp_path: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch) -> None:
        texts(tmp_path / "a" / "data")
        monkeypatch.chdir(tmp_path / "a")
        assert mmft(*run_arguments("texts", "data/logs.csv", "runs/one")).code == 0
        monkeypatch.chdir(tmp_path)
        shutil.move("a", "b")
        (tmp_path / "far" / "away").mkdir(parents=True)
        monkeypatch.chdir("far/away")
        ended = mmft("run", "-c", "../../b/runs/one/config.toml", "-o", "two")
        assert ended.code == 0, ended.err
        assert weights(Path("two")) == weights(tmp_path / "b" / "runs" / "one")

    @pytest.mark.parametrize("spelled", ['"pics"', '"./pics"', '{ path = "pics" }'])
    def test_that_somebody_wrote(
        self, spelled: str, tmp_path: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        KINDS["pictures"].make(tmp_path / "a")
        (tmp_path / "a" / "sea").rename(tmp_path / "a" / "pics")
        lines = [f"dataset = {spelled}", 'task = "image-cls"', "[engine]", "steps = 1"]
        (tmp_path / "a" / "my.toml").write_text("\n".join(lines))
        sets = [f"--set={k}={v}" for k, v in {**SHORT, **IMAGE}.items() if k != "engine.steps"]
        for place in (tmp_path, tmp_path / "a"):
            monkeypatch.chdir(place)
            file = (tmp_path / "a" / "my.toml").relative_to(place)
            ended = mmft("run", "-c", file, *sets, "-o", tmp_path / f"run-{place.name}")
            assert ended.code == 0, ended.err
        name = json.loads((tmp_path / "run-a" / "results.json").read_text())["dataset"]["name"]
        assert name == "pics"

    def test_relative_to_the_working_directory_as_ever(
        self, tmp_path: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        texts(tmp_path / "data")
        (tmp_path / "configs").mkdir()
        (tmp_path / "configs" / "my.toml").write_text('dataset = "data/logs.csv"\n')
        monkeypatch.chdir(tmp_path)
        arguments = [a for a in run_arguments("texts", "", "run") if a not in ("--dataset", "")]
        assert mmft(*arguments, "-c", "configs/my.toml").code == 0


def test_weights_move_along(tmp_path: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch) -> None:
    texts(tmp_path / "a" / "data")
    monkeypatch.chdir(tmp_path / "a")
    assert mmft(*run_arguments("texts", "data/logs.csv", "runs/base")).code == 0
    more = ("--weights", "runs/base", "--tune", "lora", "--set=engine.lora.save=adapter")
    arguments = [
        a for a in run_arguments("texts", "data/logs.csv", "runs/tuned") if "weights" not in a
    ]
    ended = mmft(*arguments, *more)
    assert ended.code == 0, ended.err
    wanted = judged(mmft, Path("runs/tuned"))
    monkeypatch.chdir(tmp_path)
    shutil.move("a", "b")
    assert judged(mmft, Path("b/runs/tuned")) == wanted
    ended = mmft("run", "-c", "b/runs/tuned/config.toml", "-o", "again")
    assert ended.code == 0, ended.err


def test_folds(tmp_path: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch) -> None:
    texts(tmp_path / "a" / "data")
    monkeypatch.chdir(tmp_path / "a")
    ended = mmft(*run_arguments("texts", "data/logs.csv", "folds", "--folds", "3"))
    assert ended.code == 0, ended.err
    wanted = [weights(Path("folds") / f"fold-{k}") for k in (1, 2, 3)]
    figures = judged(mmft, Path("folds/fold-1"), "--split", "val")
    shutil.rmtree("folds/fold-3")
    Path("folds/folds.json").unlink()
    monkeypatch.chdir(tmp_path)
    shutil.move("a", "b")
    shutil.copytree("b", "c")
    assert judged(mmft, Path("b/folds/fold-1"), "--split", "val") == figures
    ended = mmft("run", "--resume", "b/folds")
    assert ended.code == 0, ended.err
    shutil.move("c/data", "disk")
    ended = mmft("run", "--resume", "c/folds", "--dataset", "disk/logs.csv")
    assert ended.code == 0, ended.err
    for name in "bc":
        assert [weights(Path(name) / "folds" / f"fold-{k}") for k in (1, 2, 3)] == wanted


def test_a_fold_that_was_stopped(
    tmp_path: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = texts(tmp_path / "a")
    whole = tmp_path / "whole"
    assert mmft(*run_arguments("texts", data, whole, "--folds", "2")).code == 0
    output = tmp_path / "a" / "folds"
    shutil.copytree(whole, output)
    shutil.rmtree(output / "fold-2")
    (output / "folds.json").unlink()
    stopped_run("texts", data, output / "fold-2", folds=2, fold=2)
    place = tmp_path / "elsewhere.csv"
    shutil.move(data, place)
    ended = mmft("run", "--resume", output, "--dataset", place)
    assert ended.code == 0, ended.err
    assert weights(output / "fold-2") == weights(whole / "fold-2")


def test_sweeps(tmp_path: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna")
    texts(tmp_path / "a" / "data")
    monkeypatch.chdir(tmp_path / "a")
    _, *arguments = run_arguments("texts", "data/logs.csv", "sweep")
    arguments.remove("--set=engine.lr=0.001")
    more = ("--vary", "engine.lr=1e-4,1e-3,1e-2", "--trials")
    assert mmft("sweep", *arguments, *more, "1").code == 0
    monkeypatch.chdir(tmp_path)
    shutil.move("a", "b")
    ended = mmft("sweep", "--resume", "b/sweep", "--trials", "2")
    assert ended.code == 0, ended.err
    best = tomllib.loads(Path("b/sweep/best.toml").read_text())
    assert (tmp_path / "b" / "sweep" / best["dataset"]["path"]).exists()
    ended = mmft("run", "-c", "b/sweep/best.toml", "-o", "best")
    assert ended.code == 0, ended.err
    shutil.move("b/data", "disk")
    other = write_csv(tmp_path / "other.csv", read_csv(Path("disk/logs.csv"))[:-3])
    refused(mmft("sweep", "--resume", "b/sweep", "--dataset", other), "have changed")
    ended = mmft("sweep", "--resume", "b/sweep", "--trials", "3", "--dataset", "disk/logs.csv")
    assert ended.code == 0, ended.err
    ended = mmft("sweep", "--resume", "b/sweep")
    assert ended.code == 0, ended.err


def test_exports(tmp_path: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch) -> None:
    mixed(tmp_path / "a" / "data")
    monkeypatch.chdir(tmp_path / "a")
    assert mmft(*run_arguments("mixed", "data/mixed.csv", "runs/one")).code == 0
    monkeypatch.chdir(tmp_path)
    ended = mmft("export", "a/runs/one", "--format", "safetensors")
    assert ended.code == 0, ended.err
    (export,) = {p.parent for p in Path("a/runs/one").rglob("export.json")}
    shutil.move("a", "b")
    export = Path("b") / export.relative_to("a")
    ids = kept_ids(Path("b/runs/one"), "test")
    assert predicted(mmft, export, "b/data/mixed.csv", "test") == ids
    assert judged(mmft, export)["samples"] == len(ids)
    assert not any(kept_ids(export, "test")), "no name of a sample leaves with it"
    assert str(tmp_path) not in (export / "config.toml").read_text()


def test_runs_that_read_the_same_data_do_not_differ(
    tmp_path: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    for output in ("runs/one", "runs/group/two"):
        assert mmft(*run_arguments("texts", "data/logs.csv", output)).code == 0
    ended = mmft("runs", "compare", "runs/one", "runs/group/two")
    assert ended.code == 0 and "dataset.path" not in ended.out, ended.out + ended.err
