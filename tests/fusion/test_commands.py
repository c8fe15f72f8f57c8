"""Fusion as a user calls it: run, dry run, eval, predict, and mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mmft_core.cli import main
from tests.conftest import Finished
from tests.fusion.tools import write_table

Mmft = Callable[..., Finished]

pytestmark = pytest.mark.usefixtures("narrow_pictures")

PARTS = (
    "--backbone=image=resnet18",
    "--backbone=text=minilm",
    "--backbone=tabular=tabular-transformer",
    "--weights=none",
    "--set=backbone.image_size=32",
    "--set=backbone.flip=false",
    "--set=backbone.size=tiny",
    "--set=backbone.vocabulary=300",
    "--set=backbone.max_length=24",
    "--set=engine.workers=0",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("data"), count=100, lacking=0.3)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A run in which a third of all cells is empty, each backbone tuned in its own way."""
    output = tmp_path_factory.mktemp("runs") / "run"
    arguments = ["run", "--task=fusion-cls", *PARTS, "--dataset", data, "-o", output]
    arguments += ["--epochs=6", "--batch-size=16", "--set=task.fusion=gated"]
    arguments += ["--tune=image=head,text=lora"]
    main([str(argument) for argument in arguments])
    return output


def test_a_run_learns_from_rows_with_gaps_and_says_what_counts(finished: Path) -> None:
    results = json.loads((finished / "results.json").read_text())
    test = results["metrics"]["test"]
    assert test["accuracy"] >= 0.85
    weights = [test[f"modality-weight/{m}"] for m in ("image", "text", "tabular")]
    assert sum(weights) == pytest.approx(1.0, abs=1e-4)
    shares = {m: b["trained"] / b["parameters"] for m, b in results["backbones"].items()}
    assert shares["image"] == 0 and 0 < shares["text"] < 0.2 and shares["tabular"] == 1
    page = (finished / "report.html").read_text()
    assert "modality-weight/tabular" in page
    assert "photo: image" in page and "id: ignored" in page


def test_eval_and_predict_read_other_tables_as_the_run_did(
    finished: Path, tmp_path: Path, mmft: Mmft
) -> None:
    own = json.loads((finished / "results.json").read_text())["metrics"]["test"]
    again = mmft("eval", finished, "--json")
    assert json.loads(again.out)["accuracy"] == pytest.approx(own["accuracy"])
    columns = ("photo", "remark", "ink", "shape")
    few = write_table(tmp_path, count=3, columns=columns)  # Too few to tell what its columns hold.
    found = mmft("predict", finished, "--dataset", few)
    records = [json.loads(line) for line in found.out.splitlines()]
    assert [r["input"] for r in records] == [f"table.csv, row {k}" for k in (1, 2, 3)]
    assert [r["label"] for r in records][:2] == ["zero", "one"]


def test_predict_goes_on_after_a_row_that_has_nothing(
    finished: Path, tmp_path: Path, mmft: Mmft
) -> None:
    def empty(row: int, cells: dict[str, object]) -> None:
        if row == 2:
            cells.update(photo="", remark="", ink="", shape="")

    found = mmft("predict", finished, "--dataset", write_table(tmp_path, 3, change=empty))
    assert found.code == 2
    records = [json.loads(line) for line in found.out.splitlines()]
    assert ["label" in r for r in records] == [True, False, True]
    assert "row 2 (it has no image and no text and no tabular)" in found.err


def test_files_alone_say_too_little(finished: Path, data: Path, mmft: Mmft) -> None:
    found = mmft("predict", finished, data.parent / "photos" / "000.png")
    assert found.code == 2
    assert "reads image, text, tabular together" in found.err and "--dataset" in found.err


def test_a_dry_run_shows_what_columns_are_taken_for(data: Path, mmft: Mmft) -> None:
    arguments = ("run", "--task=fusion-cls", *PARTS, "--dataset", data, "--dry-run")
    lines = mmft(*arguments).out.splitlines()
    told = {line.split()[2]: line.split()[3] for line in lines if line.startswith("# column ")}
    kinds = {"id": "ignored", "photo": "image", "remark": "text"}
    assert told == {**kinds, "ink": "number", "shape": "category"}
    changed = mmft(*arguments, "--set=dataset.columns.ink=category").out
    assert "column ink     category  as told" in changed
    assert 'ink = "category"' in changed
    assert "# targets from column 'label'" in changed
    unclear = mmft(*arguments, "--set=dataset.target_column=gone")
    assert unclear.code == 2 and "no column 'gone'" in unclear.err


@pytest.mark.usefixtures("tiny_backbone", "narrow_networks")
def test_a_number_is_regressed_in_its_unit(tmp_path: Path, mmft: Mmft) -> None:
    def price(row: int, cells: dict[str, object]) -> None:
        cells["price"] = "" if row == 9 else 7000 + 900 * (cells["label"] == "one") + row % 7

    columns = ("photo", "remark", "shape", "split", "price")
    data = write_table(tmp_path, 100, lacking=0.1, change=price, columns=columns)
    parts = ("--backbone=image=tiny", *PARTS[1:])
    arguments = ("run", "--task=fusion-reg", *parts, "--dataset", data, "-o", tmp_path / "run")
    refused = mmft(*arguments)
    assert refused.code == 2 and "table.csv, row 9: it has no target" in refused.err
    found = mmft(*arguments, "--on-bad-sample=skip", "--epochs=10", "--set=task.huber=1")
    assert found.code == 0, found.err
    test = json.loads((tmp_path / "run" / "results.json").read_text())["metrics"]["test"]
    assert test["r2"] > 0.5
    assert test["mae"] <= test["rmse"] < 400
    out = mmft("predict", tmp_path / "run", "--dataset", data).out
    values = [json.loads(line).get("value") for line in out.splitlines()]
    assert values.count(None) <= 1  # A row may lack everything.
    assert all(6000 < value < 9000 for value in values if value is not None)


MISTAKES = {
    "no backbone for a column": (
        ("--backbone=audio=whisper-tiny",),
        "no column of kind audio, which the audio backbone needs",
    ),
    "a tuning of what is not there": (
        ("--tune=audio=head",),
        "names audio, but no backbone reads it",
    ),
    "a column that is not there": (("--set=dataset.columns.inc=number",), "Did you mean 'ink'"),
    "a kind that is none": (("--set=dataset.columns.ink=words",), "dataset.columns"),
    "a way that is none": (("--set=task.fusion=sum",), "task.fusion"),
    "a metric of numbers": (("--metric=mae",), "measures numbers"),
    "heads": (("--set=task.fusion=cross-attention", "--set=task.heads=3"), "does not divide"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_end_in_one_sentence(mistake: str, data: Path, tmp_path: Path, mmft: Mmft) -> None:
    arguments, sentence = MISTAKES[mistake]
    output = tmp_path / "run"
    found = mmft("run", "--task=fusion-cls", *PARTS, "--dataset", data, "-o", output, *arguments)
    assert found.code == 2
    assert sentence in found.err
    assert "Traceback" not in found.err
    assert not output.exists()


def test_weights_are_given_to_all_or_by_modality(data: Path, mmft: Mmft) -> None:
    parts = ("--backbone=image=resnet18", "--backbone=text=minilm", "--dry-run")
    arguments = ("run", "--task=fusion-cls", *parts, "--dataset", data)
    out = mmft(*arguments, "--weights=none", "--weights=text=a/b.safetensors").out
    chosen = [line for line in out.splitlines() if line.startswith("weights")]
    assert chosen == ['weights = "none"', 'weights = "a/b.safetensors"']
    assert 'weights = "x=y.pt"' in mmft(*arguments, "--weights=x=y.pt").out  # A path.
    later = mmft(*arguments, "--weights=none", "--weights=auto").out
    assert '\nweights = "none"' not in later


@pytest.mark.usefixtures("narrow_networks")
def test_captions_are_written_for_pictures(tmp_path: Path, mmft: Mmft) -> None:
    """The digit is in the picture, and the words are learned from the table."""
    data = write_table(tmp_path, 60, columns=("photo", "caption", "split"), change=_caption)
    settings = ("engine.workers=0", "backbone.image_size=32", "backbone.size=tiny")
    more = ("backbone.vocabulary=300", "backbone.augment=none", "task.max_new_tokens=12")
    arguments = ("run", "--task=captioning", "--backbone=image=resnet18", "--backbone=text=gpt2")
    found = mmft(
        *(*arguments, "--weights=none", "--dataset", data, "-o", tmp_path / "run"),
        *(f"--set={s}" for s in (*settings, *more)),
        *("--epochs=15", "--batch-size=12", "--lr=3e-3"),
    )
    assert found.code == 0, found.err
    assert "mmft predict" in found.out and "FILES..." in found.out
    test = json.loads((tmp_path / "run" / "results.json").read_text())["metrics"]["test"]
    assert test["rouge/l"] > 0.8
    pictures = sorted((tmp_path / "photos").glob("*.png"))[:4]
    records = mmft("predict", tmp_path / "run", *pictures).out.splitlines()
    right = ["a round zero", "a straight one"] * 2
    written = [json.loads(record)["caption"] for record in records]
    assert sum(w == r for w, r in zip(written, right, strict=True)) >= 3


def _caption(row: int, cells: dict[str, object]) -> None:
    cells["caption"] = f"a {cells['shape']} {cells['label']}"


CAPTIONS = {
    "nobody writes": (("--backbone=image=resnet18",), "takes backbones of 2 modalities"),
    "an encoder is to write": (
        ("--backbone=image=resnet18", "--backbone=text=minilm"),
        "needs generation and prefix from its text backbone",
    ),
    "nothing to write in": (
        ("--backbone=image=resnet18", "--backbone=audio=whisper-tiny"),
        "needs a backbone for text",
    ),
    "too long for it": (
        (
            "--backbone=image=resnet18",
            "--backbone=text=gpt2",
            "--weights=none",
            "--set=task.max_target_length=2000",
        ),
        "are more than the 1024 positions",
    ),
}


@pytest.mark.parametrize("mistake", CAPTIONS)
def test_captions_that_cannot_be(mistake: str, tmp_path: Path, mmft: Mmft) -> None:
    arguments, sentence = CAPTIONS[mistake]
    small = ("--set=backbone.image_size=32", "-o", tmp_path / "run")
    found = mmft("run", "--task=captioning", *arguments, *small)
    assert found.code == 2 and sentence in found.err
    assert not (tmp_path / "run").exists()
