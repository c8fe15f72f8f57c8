"""Whatever a user gets wrong: one sentence, exit code 2, nothing written."""

from __future__ import annotations

import collections
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from tests.conftest import Finished, run_arguments
from tests.faults.operations import limit_file_size
from tests.faults.processes import Cli

Mmft = Callable[..., Finished]
Make = Callable[..., Path]

TASK = ("--task", "image-cls", "--backbone", "resnet18")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--task", "image-clss"), "no task named 'image-clss'. Did you mean 'image-cls'?"),
        (("--task", "image-cls"), "No backbone was chosen"),
        ((), "No task was chosen"),
        (("--task", "image-cls", "--backbone", "resnet51"), "Did you mean 'resnet50'?"),
        ((*TASK, "--dataset", "digit"), "no dataset named 'digit'. Did you mean 'digits'?"),
        ((*TASK, "--dataset", "./nowhere"), "no file or folder nowhere"),
        ((*TASK, "--metric", "acuracy"), "Did you mean 'accuracy'?"),
        (("--task", "image-cls", "--backbone", "text=resnet18"), "reads image, not text"),
        ((*TASK, "--set", "engine.lrr=1"), "no option 'engine.lrr'. Did you mean 'lr'?"),
        ((*TASK, "--set", "engine.lr=fast"), "engine.lr = 'fast' is not valid: expected float > 0"),
        ((*TASK, "--set", "engine.epochs=-1"), "engine.epochs = -1 is not valid"),
        ((*TASK, "--set", "enigne.lr=1"), "no setting 'enigne'. Did you mean 'engine'?"),
        ((*TASK, "--set", "lr=1"), "no setting 'lr'. Did you mean 'engine.lr'?"),
        ((*TASK, "--set", "engine.lr"), "is not KEY=VALUE"),
        ((*TASK, "--tune", "haed"), "engine.tune = 'haed' is not valid"),
        ((*TASK, "--set", "engine.monitor=f2"), "Did you mean 'f1'?"),
        ((*TASK, "--set", "engine.monitor=f2", "--dry-run"), "Did you mean 'f1'?"),
        ((*TASK, "--set", "optimizer.momentum=0.9"), "Optimizer 'adamw' has no option"),
        pytest.param(
            (*TASK, "--set", "engine.device=cuda"),
            "there is no GPU that this installation can use",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
        ((*TASK, "--set", "engine.precision=fp16", "--set", "engine.device=cpu"), "needs a GPU"),
        ((*TASK, "--weights", "nowhere.pt"), "no weights at nowhere.pt"),
        ((*TASK, "--weights", "~no-such-user/w.pt"), "no weights at ~no-such-user/w.pt"),
        ((*TASK, "--dataset", "~no-such-user/x"), "no file or folder ~no-such-user/x"),
        ((*TASK, "--dataset", "x" * 300), "x cannot be opened: File name too long."),
        ((*TASK, "--resume", "x" * 300), "cannot be opened: File name too long."),
        ((*TASK, "-c", "nowhere.toml"), "no configuration file nowhere.toml"),
        ((*TASK, "--resume", "nowhere"), "There is no folder nowhere"),
        (
            ("--task", "image-cls", "--backbone", "vit-b-16", "--set", "backbone.image_size=40"),
            "16",
        ),
        (
            (
                "--task",
                "fusion-cls",
                "--backbone",
                "image=resnet18",
                "--backbone",
                "image=vit-b-16",
            ),
            "Two backbones were given for image: resnet18 and vit",
        ),
        (("--tsk", "image-cls"), "error: No such option"),
        ((*TASK, "--epochs", "0.5"), "error: Invalid value for '--epochs': '0.5' is not a valid"),
    ],
)
def test_one_sentence_and_exit_code_2(
    tmp_path: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = mmft("run", *arguments)
    assert ended.code == 2
    assert words in ended.err
    assert "Traceback" not in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tune", ["head", "gradual"])
def test_a_task_without_a_head_of_which_only_the_head_would_be_trained(
    tmp_path: Path, mmft: Mmft, tune: str
) -> None:
    parts = ("--task", "text-retrieval", "--backbone", "minilm", "--weights", "none")
    settings = ("--set", "backbone.size=tiny", "--set", "engine.steps=1", "--tune", tune)
    ended = mmft("run", *parts, *settings, "-o", tmp_path / "run")
    assert ended.code == 2 and "leaves nothing to train" in ended.err, ended.err
    assert "--tune full" in ended.err


def test_a_command_that_is_not_there(mmft: Mmft) -> None:
    ended = mmft("rnu", "--task", "image-cls")
    assert ended.code == 2
    assert "There is no command 'rnu'. Did you mean 'run'?" in ended.err


@pytest.mark.parametrize("command", [("predict", "run", "x"), ("eval", "run")])
def test_a_table_in_place_of_an_option_is_told(mmft: Mmft, command: tuple[str, ...]) -> None:
    ended = mmft(*command, "--set", "task=image-cls")
    assert ended.code == 2 and "--set task names no option." in ended.err


def test_toml_that_is_not_toml_is_shown_by_line(tmp_path: Path, mmft: Mmft) -> None:
    file = tmp_path / "run.toml"
    file.write_text("[engine]\nlr = = 3\n")
    ended = mmft("run", "-c", file)
    assert ended.code == 2 and "line 2" in ended.err


def test_an_output_that_is_not_empty(tmp_path: Path, mmft: Mmft) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    ended = mmft(*run_arguments(tmp_path))
    assert ended.code == 2 and "is not empty" in ended.err
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_an_output_that_may_not_be_written(tmp_path: Path, mmft: Mmft) -> None:
    (tmp_path / "file").write_text("")
    ended = mmft(*run_arguments(tmp_path / "file" / "run"))
    assert ended.code == 2 and "cannot be written" in ended.err


def test_a_disk_that_is_too_full_is_seen_before_training(
    tmp_path: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 10**6))
    ended = mmft(*run_arguments(tmp_path / "run"))
    assert ended.code == 2 and "No space is left for" in ended.err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_disk_that_fills_up_during_training(tmp_path: Path) -> None:
    """A limit on the size of files makes the operating system refuse the first checkpoint."""
    arguments = run_arguments(tmp_path / "run", "--set", "engine.checkpoint_every=1")
    process = Cli(arguments, tmp_path / "log", partial(limit_file_size, 10**6))
    assert process.wait() == 2, process.text
    assert "No space is left to write" in process.text and "Traceback" not in process.text
    left = [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()]
    assert left == ["assets"]  # Which is whole; of the checkpoint nothing is half there.


def test_a_task_and_a_dataset_of_another_kind(tmp_path: Path, mmft: Mmft) -> None:
    (tmp_path / "texts.txt").write_text("words")
    ended = mmft(*run_arguments(tmp_path / "run", "--dataset", tmp_path / "texts.txt"))
    assert ended.code == 2
    assert "texts.txt cannot be used as a data set for task 'image-cls'." in ended.err
    known = "a file ending in .csv, .tsv, .jsonl, .json or 6 others"
    assert f"Give a folder, or {known}, or the name of a data set (" in ended.err


def test_unfinished_and_damaged_models_are_named(
    tmp_path: Path, photo_folder: Make, mmft: Mmft
) -> None:
    picture = photo_folder(per_class=1) / "china" / "000.jpg"
    model = tmp_path / "run" / "model"
    model.mkdir(parents=True)
    ended = mmft("predict", tmp_path / "run", picture)
    assert ended.code == 2 and "run holds neither a run nor a model" in ended.err
    assert "`mmft runs` lists those in runs/" in ended.err and "--resume" not in ended.err
    (tmp_path / "run" / "config.toml").touch()
    ended = mmft("predict", tmp_path / "run", picture)
    assert ended.code == 2 and "no finished model" in ended.err
    assert f"`mmft run --resume {tmp_path / 'run'}`" in ended.err
    (model / "model.json").write_text("{}")
    ended = mmft("predict", tmp_path / "run", picture)
    assert ended.code == 2 and "cannot be loaded" in ended.err
    assert "take it from a copy, or repeat the run" in ended.err


@pytest.mark.parametrize("command", ["predict", "eval", "export", "serve", "publish"])
def test_what_is_no_folder_is_told_apart(
    tmp_path: Path, mmft: Mmft, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "notes.txt").touch()
    inputs = ("photo.jpg",) if command == "predict" else ()
    said = {
        "x" * 300: "cannot be opened: File name too long.",
        "nowhere": "There is no folder nowhere.",
        "mine": "There is no folder mine.\n       Is it runs/mine?",
        "notes.txt": "notes.txt is a file, not a run.",
    }
    for given, sentence in said.items():
        ended = mmft(command, given, *inputs)
        assert ended.code == 2 and sentence in ended.err, ended.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.txt", "runs"]
