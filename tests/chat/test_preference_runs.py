"""Runs of the task preference from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmft_core import discover
from mmft_core.config.resolving import resolve
from mmft_core.config.trees import read_toml
from mmft_core.run import runner
from tests.chat.test_runs import ASKED, COLOURS, FEW, Stop, answers, arguments, weights
from tests.conftest import Finished

Mmft = Callable[..., Finished]
__all__ = ["weights"]


def rows() -> list[dict[str, Any]]:
    """Each colour is as often right as wrong; val and test ask in words that train has as well."""
    colours = list(COLOURS.values())
    return [
        {
            "prompt": asked.format(thing),
            "chosen": colour,
            "rejected": colours[(at + 1 + number % 3) % len(colours)],
            "split": split,
        }
        for number, asked in enumerate(ASKED)
        for at, (thing, colour) in enumerate(COLOURS.items())
        for split in (("train", "val", "test") if asked == ASKED[0] else ("train",))
    ]


def write(path: Path, found: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("pairs") / "pairs.jsonl", rows())


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as single answers with labels."""
    found = [
        {"prompt": row["prompt"], "completion": row[side], "label": label, "split": row["split"]}
        for row in rows()
        for side, label in (("chosen", True), ("rejected", False))
    ]
    return write(tmp_path_factory.mktemp("single") / "single.jsonl", found)


def preferring(data: Path, weights: Path, output: Path, *more: str) -> Sequence[str | Path]:
    return [*arguments(data, weights, output), "--task", "preference", *more]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, pairs: Path, weights: Path) -> Path:
    from mmft_core.cli import main

    output = tmp_path_factory.mktemp("run") / "run"
    main([str(a) for a in preferring(pairs, weights, output, "--set", "task.beta=1")])
    return output


def test_a_run_learns_and_is_judged_again_without_its_reference(
    run: Path, pairs: Path, mmft: Mmft
) -> None:
    results = json.loads((run / "results.json").read_text())["metrics"]
    assert results["test"]["rewards/accuracy"] == 1 and results["test"]["rewards/margin"] > 1
    judged = json.loads(mmft("eval", run, "--json").out)
    assert {name: judged[name] for name in results["test"]} == pytest.approx(results["test"])
    assert "is preferred to" in (run / "report.html").read_text()
    assert not (run / "checkpoints").exists()


def test_a_run_of_kto_is_judged_again_with_its_loss(
    single: Path, weights: Path, tmp_path: Path, mmft: Mmft
) -> None:
    """What the reference says of answers behind other prompts is kept, too."""
    run = tmp_path / "run"
    kto = ("--set", "task.loss=kto", "--set", "task.beta=1")
    assert mmft(*preferring(single, weights, run, *FEW, *kto)).code == 0
    judged = json.loads(mmft("eval", run, "--json").out)
    test = json.loads((run / "results.json").read_text())["metrics"]["test"]
    assert judged["loss"] == pytest.approx(test["loss"], rel=1e-4) and test["loss"] != 0.5


def test_on_other_data_likelihoods_are_known_and_rewards_are_not(
    run: Path, tmp_path: Path, mmft: Mmft
) -> None:
    row = {"prompt": "Say the colour of ash.", "chosen": "grey", "rejected": "pink"}
    ended = mmft("eval", run, "--dataset", write(tmp_path / "other.jsonl", [row]), "--json")
    assert ended.code == 0, ended.err
    judged = json.loads(ended.out)
    assert judged["logps/chosen"] < 0 and judged["rewards/margin"] is None
    assert "the log-probabilities of the reference are stored only for" in judged["remarks"][0]


def test_a_finished_model_answers(run: Path, tmp_path: Path, pairs: Path, mmft: Mmft) -> None:
    assert len(answers(mmft("predict", run, "What colour is snow?"))) == 1
    assert len(answers(mmft("predict", run, "--dataset", pairs))) == len(rows())
    questions = write(tmp_path / "questions.jsonl", [{"prompt": "What colour is coal?"}])
    assert len(answers(mmft("predict", run, "--dataset", questions))) == 1


def test_an_export_answers_as_the_run_does(run: Path, tmp_path: Path, mmft: Mmft) -> None:
    """Though it has written nothing yet, so that nobody knows how it takes padding."""
    folder = tmp_path / "out"
    ended = mmft("export", run, "--format", "torch-export", "--samples", "2", "-o", folder)
    assert ended.code == 0, ended.err
    asked = "What colour is snow?"
    assert answers(mmft("predict", folder, asked)) == answers(mmft("predict", run, asked))


ADAPTERS = ("--tune", "lora", "--set", "engine.lora.dropout=0.1")
RESUMED = {
    "computed beforehand": (),
    "copied": ("--set", "task.precompute=false"),
    "kto of pairs, adapters off": ("--set", "task.loss=kto", *ADAPTERS),
    "kto, copied": ("--set", "task.loss=kto"),
}


@pytest.mark.parametrize("name", RESUMED)
def test_an_interrupted_run_ends_in_equal_weights(
    pairs: Path, single: Path, weights: Path, tmp_path: Path, mmft: Mmft, name: str
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    data = single if name == "kto, copied" else pairs
    ended = mmft(*preferring(data, weights, whole, *FEW, *RESUMED[name]))
    assert ended.code == 0, ended.err
    plan = resolve(read_toml(whole / "config.toml"), discover())
    assert runner.train(plan, cut, [Stop()]).results is None
    reference = cut / "checkpoints" / "reference.safetensors"
    assert reference.exists() == ("copied" in name)
    if name == "copied":
        reference.rename(tmp_path / "elsewhere")
        ended = mmft("run", "--resume", cut)
        assert ended.code == 2 and "The weights of the reference model" in ended.err
        (tmp_path / "elsewhere").rename(reference)
    assert mmft("run", "--resume", cut).code == 0
    for file in ("model.safetensors", "assets/_task/reference.safetensors"):
        one, other = ((r / "model" / file).read_bytes() for r in (whole, cut))
        assert one == other, file


@pytest.mark.parametrize(
    ("data", "more", "reason"),
    [
        ("single", (), "task.loss = 'dpo' compares two answers to a prompt"),
        ("bad", (), "bad.jsonl, row 25: its two sides are equal, so neither is preferred"),
        ("pairs", ("--set", "task.desirable_weight=2"), "task.desirable_weight is an option of"),
        ("pairs", ("--metric", "exact-match"), "measures text"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    pairs: Path, single: Path, weights: Path, tmp_path: Path, mmft: Mmft, data: str,
    more: Sequence[str], reason: str,
) -> None:  # fmt: skip
    row = {"prompt": "Hi", "chosen": "a", "rejected": "a", "split": "train"}
    bad = write(tmp_path / "bad.jsonl", [*rows(), row])
    path = {"pairs": pairs, "single": single, "bad": bad}[data]
    ended = mmft(*preferring(path, weights, tmp_path / "run", *more))
    assert ended.code == 2 and reason in " ".join(ended.err.split()), ended.err
    assert "Traceback" not in ended.err


def test_pictures_are_preferred_about(tmp_path: Path, mmft: Mmft, narrow_networks: None) -> None:
    for name in ("red", "blue"):
        Image.new("RGB", (20, 20), name).save(tmp_path / f"{name}.png")
    found = [
        {"image": f"{one}.png", "prompt": "Which?", "chosen": one, "rejected": other, "split": s}
        for s in ("train", "val", "test")
        for one, other in (("red", "blue"), ("blue", "red"))
    ]
    data = write(tmp_path / "pictures.jsonl", found)
    settings = ("engine.steps=2", "engine.workers=0", "backbone.size=tiny", "task.max_new_tokens=2")
    sets = [part for setting in settings for part in ("--set", setting)]
    names = ("--task", "preference", "--backbone", "vision-chat", "--dataset", data)
    run = tmp_path / "run"
    more = ("--set", "backbone.vocabulary=300", "--tune", "lora", "--output", run)
    ended = mmft("run", *names, *sets, *more)
    assert ended.code == 0, ended.err
    assert json.loads(mmft("eval", run, "--json").out)["rewards/margin"] is not None
    assert len(answers(mmft("predict", run, "--dataset", data))) == 6
    assert len(answers(mmft("predict", run, "Which?", "--image", tmp_path / "red.png"))) == 1
