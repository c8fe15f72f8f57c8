"""`mmft runs`: every run in whatever state it is, figures and settings side by side, a page."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from mmft_core.config.trees import dump_toml
from mmft_core.errors import RunDirectoryError, StopTrainingError
from mmft_core.run.directory import RunDirectory
from tests.conftest import Finished

Mmft = Callable[..., Finished]


def make_run(path: Path, *, lr: float = 0.1, accuracy: float | None = None, **more: Any) -> Path:
    """A run directory as training leaves it; unfinished without an accuracy."""
    config = {
        "task": {"name": "vision/image-cls"},
        "backbone": {"image": {"name": "vision/resnet18", "weights": "auto"}},
        "dataset": {"name": "vision/digits"},
        "engine": {"lr": lr, "epochs": 3},
        "tracking": {"to": [path.name]},
        **more,
    }
    path.mkdir(parents=True)
    (path / "config.toml").write_text(dump_toml(config))
    (path / "data.json").write_text('{"monitor": "accuracy"}')
    lines = [{"step": n, "epoch": 1, "loss": 1 / n, "lr": lr, "seconds": 2.0} for n in (1, 5, 9)]
    val = {"epoch": 1, "split": "val"}
    lines += [{"step": 9, **val, "best": True, "loss": 0.4, "accuracy": 0.5}]
    lines += [{"step": 12, **val, "best": False, "loss": 0.6, "accuracy": 0.4}]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if accuracy is not None:
        results = {
            "task": "image-cls",
            "backbones": {},
            "dataset": {"name": "digits", "samples": {"train": 10}},
            "monitor": {"name": "accuracy"},
            "metrics": {
                "val": {"accuracy": accuracy - 0.1, "per class": [1]},
                "test": {"accuracy": accuracy},
            },
            "timings": {"total_seconds": 61.0},
            "environment": {"device": "cpu", "precision": "bf16"},
        }
        (path / "results.json").write_text(json.dumps(results))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    runs = tmp_path / "runs"
    make_run(runs / "good", lr=0.1, accuracy=0.9)
    make_run(runs / "better", lr=0.01, accuracy=0.95)
    make_run(runs / "killed")
    make_run(runs / "tuned" / "trials" / "0000", accuracy=0.7)
    (make_run(runs / "damaged") / "config.toml").write_text("= no TOML")
    (make_run(runs / "odd", accuracy=0.5) / "results.json").write_text("[]")
    with pytest.raises(ValueError), RunDirectory(make_run(runs / "failed")).held():
        raise ValueError("memory did not suffice")
    with pytest.raises(StopTrainingError), RunDirectory(make_run(runs / "hopeless")).held():
        raise StopTrainingError
    (make_run(runs / "folded", folds=2) / "data.json").unlink()
    (runs / "folded" / "metrics.jsonl").unlink()
    for number in (1, 2):
        make_run(runs / "folded" / f"fold-{number}", accuracy=0.8, folds=2, fold=number)
    record = {
        "dataset": "digits",
        "monitor": "accuracy",
        "finished": True,
        "figures": {"test": {"accuracy": {"mean": 0.8, "std": 0.01, "folds": [0.79, 0.81]}}},
        "runs": [{"total_seconds": 1.0}, {"total_seconds": 2.0}],
    }
    (runs / "folded" / "folds.json").write_text(json.dumps(record))
    return runs


def test_every_run_is_listed_in_its_state(folder: Path, mmft: Mmft) -> None:
    with RunDirectory(make_run(folder / "busy")).held():
        ended = mmft("runs", folder, "--json")
    assert ended.code == 0
    found = {run["name"]: run for run in json.loads(ended.out)}
    assert {name: run["state"] for name, run in found.items()} == {
        "good": "finished",
        "better": "finished",
        "tuned/trials/0000": "finished",
        "folded": "finished",
        "folded/fold-1": "finished",
        "folded/fold-2": "finished",
        "killed": "interrupted",
        "busy": "running",
        "failed": "failed",
        "hopeless": "stopped",
        "damaged": "damaged",
        "odd": "damaged",
    }
    good = found["good"]
    assert (good["task"], good["backbones"], good["seconds"]) == ("image-cls", ["resnet18"], 61.0)
    assert good["figures"] == {"val": {"accuracy": 0.8}, "test": {"accuracy": 0.9}}
    assert good["size"] == sum(f.stat().st_size for f in (folder / "good").iterdir())
    assert found["killed"]["figures"] == {"val": {"loss": 0.4, "accuracy": 0.5}}
    assert found["failed"]["reason"] == "memory did not suffice"
    ended = mmft("runs", folder)
    assert re.search(r"killed +interrupted .* accuracy +0\.5000 ", ended.out), ended.out
    assert "0.8000 ± 0.0100" in ended.out and "memory did not suffice" in ended.out
    assert "Traceback" not in ended.out + ended.err


def test_in_a_narrow_terminal_names_stay_on_one_line(
    folder: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    name = "image-cls-mobilenet-v3-large-20260131-154501"
    shutil.copytree(folder / "killed", folder / name)
    out = mmft("runs", folder, "--state", "interrupted").out
    assert re.search(rf"^{name}  interrupted +0\.5000 *$", out, re.MULTILINE), out
    assert "Left out for lack of room: task, backbone, data, metric" in out


def test_models_that_were_exported_or_published_are_no_runs(folder: Path, mmft: Mmft) -> None:
    before = mmft("runs", folder).out
    for name in ("export.json", "model.json"):
        place = make_run(folder / "elsewhere")
        (place / "data.json").unlink()
        (place / "model.json").touch()
        (place / name).touch()
        assert mmft("runs", folder).out == before
        ended = mmft("publish", place, "-o", folder / "new")
        assert ended.code == 2 and "not a run" in ended.err
        shutil.rmtree(place)


def test_sorting_and_filtering(folder: Path, mmft: Mmft) -> None:
    def names(*options: str) -> list[str]:
        ended = mmft("runs", "list", folder, "--json", *options)
        assert ended.code == 0, ended.err
        return [run["name"] for run in json.loads(ended.out)]

    assert names("--sort", "test/accuracy", "--state", "finished")[:2] == ["better", "good"]
    lowest = names("--sort", "test/accuracy", "--reverse", "--state", "finished")
    assert lowest[0] == "tuned/trials/0000"
    assert names("--sort", "name", "--state", "damaged") == ["damaged", "odd"]
    assert names("--task", "text-cls") == []
    ended = mmft("runs", folder, "--sort", "test/acuracy")
    assert ended.code == 2 and "Did you mean 'test/accuracy'?" in ended.err
    ended = mmft("runs", folder / "nowhere")
    assert ended.code == 2 and "There is no folder" in ended.err


def test_only_what_differs_is_shown(folder: Path, mmft: Mmft) -> None:
    ended = mmft("runs", "compare", folder / "good", folder / "better", "--json")
    compared = json.loads(ended.out)
    assert compared["settings"] == {"engine.lr": [0.1, 0.01]}
    assert compared["figures"]["test/accuracy"] == [0.9, 0.95]
    ended = mmft("runs", "compare", folder / "good", folder / "folded" / "fold-1")
    assert "folds" in ended.out and "engine.epochs" not in ended.out
    ended = mmft("runs", "compare", folder / "good")
    assert ended.code == 2 and "nothing to compare" in ended.err
    ended = mmft("runs", "compare", folder / "good", folder / "damaged")
    assert ended.code == 2 and "not valid TOML" in ended.err


def test_what_a_cross_validation_ran_on_is_known(folder: Path, mmft: Mmft) -> None:
    ended = mmft("runs", "compare", folder / "good", folder / "folded", "--json")
    settings = json.loads(ended.out)["settings"]
    assert settings["folds"] == [None, 2]
    assert not {"device", "precision", "samples of train"} & settings.keys()


def test_settings_are_shown_as_they_are_written(folder: Path, mmft: Mmft) -> None:
    make_run(folder / "listed", accuracy=0.5, metrics=["f1", "accuracy"], flip=True)
    file = folder.parent / "page.html"
    ended = mmft("runs", "compare", folder / "good", folder / "listed", "--html", file)
    for text in (ended.out, file.read_text()):
        assert "f1, accuracy" in text and "true" in text and "['f1'" not in text


def test_a_folder_is_no_page(folder: Path, mmft: Mmft) -> None:
    ended = mmft("runs", "compare", folder / "good", folder / "better", "--html", folder)
    assert ended.code == 2 and "'--html'" in ended.err and "is a directory" in ended.err
    assert not ended.out


def test_the_page_lays_curves_over_each_other(folder: Path, mmft: Mmft) -> None:
    file = folder.parent / "page.html"
    make_run(folder / "<b>odd</b>", accuracy=0.6)
    runs = [folder / name for name in ("good", "better", "folded", "<b>odd</b>")]
    ended = mmft("runs", "compare", *runs, "--html", file)
    assert ended.code == 0, ended.err
    page = file.read_text()
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page) and "<b>odd" not in page
    loss = next(svg for svg in page.split("<svg")[1:] if 'aria-label="Loss on val"' in svg)
    labels = re.findall(r'data-label="([^"]*)"', loss)
    assert labels[:4] == ["good", "better", "folded/fold-1", "folded/fold-2"]
    assert "0.8000 ± 0.0100" in page and "<th>engine.lr</th>" in page


def test_listing_needs_no_torch(folder: Path) -> None:
    code = (
        "import sys\nfrom mmft_core.cli import cli\n"
        f"cli.main(['runs', {str(folder)!r}], standalone_mode=False)\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_no_two_processes_train_one_run(tmp_path: Path) -> None:
    run = RunDirectory(make_run(tmp_path / "run"))
    with (
        FileLock(run.lock),
        pytest.raises(RunDirectoryError, match="Another process"),
        run.held(),
    ):
        pass
    assert not run.failure.exists()
    with run.held():
        pass
    with run.held():  # It is free again, and has the same name for everybody.
        pass
