"""`mmft run`, `eval` and `predict` as a user calls them, on real pictures."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from torchvision import models

from mmft_core.cli import main
from tests.conftest import Finished, make_photo_folder, run_arguments

Mmft = Callable[..., Finished]
Make = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("narrow_pictures")


def parameters(part: str = "") -> int:
    """Those of torchvision's network without its head, or of a part of it."""
    named = models.get_model("resnet18").named_parameters()
    return sum(p.numel() for name, p in named if name.startswith(part) and "fc." not in name)


@pytest.fixture(scope="module")
def finished_run(
    tmp_path_factory: pytest.TempPathFactory, photographs: dict[str, Image.Image]
) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    photos = make_photo_folder(folder / "photos", photographs, per_class=12)
    output = folder / "run"
    arguments = ("--dataset", photos, "--epochs", "6", "--batch-size", "8")
    main([str(a) for a in run_arguments(output, *arguments)])
    return output


def test_a_run_leaves_everything_and_says_how_it_went(finished_run: Path) -> None:
    assert {p.name for p in finished_run.iterdir()} == {
        "README.md",
        "config.toml",
        "data.json",
        "samples.parquet",
        "metrics.jsonl",
        "model",
        "plugins.json",
        "report.html",
        "results.json",
        "run.lock",
    }
    results = json.loads((finished_run / "results.json").read_text())
    assert results["ending"] == "finished"
    assert results["metrics"]["test"]["accuracy"] >= 0.5
    assert results["backbones"]["image"]["weights"]["source"] == "random"
    assert results["backbones"]["image"]["parameters"] == parameters()
    suppliers = json.loads((finished_run / "plugins.json").read_text())
    parts = {"task", "backbone", "dataset", "metric", "callback", "optimizer", "schedule"}
    assert {s["kind"] for s in suppliers} == parts
    assert all(s["distribution"] == "mmft" for s in suppliers)
    assert not any(p.suffix in (".pkl", ".pt", ".pth", ".bin") for p in finished_run.rglob("*"))


def test_the_report_is_one_file_with_pictures_and_no_outside_address(finished_run: Path) -> None:
    page = (finished_run / "report.html").read_text()
    addresses = re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', page)
    assert addresses and all(a.startswith(("data:", "#")) for a in addresses)
    assert "@import" not in page and "url(http" not in page
    assert page.count("data:image/jpeg") >= 2
    for part in ("Most confident", "Confusion matrix", "Each class", "config.toml", "torch"):
        assert part in page


def test_the_resolved_configuration_repeats_the_run(
    finished_run: Path, tmp_path: Path, mmft: Mmft
) -> None:
    again = tmp_path / "again"
    assert mmft("run", "-c", finished_run / "config.toml", "-o", again).code == 0
    one, two = (p / "model" / "model.safetensors" for p in (finished_run, again))
    assert one.read_bytes() == two.read_bytes()


def test_eval_repeats_the_figures_of_the_run(finished_run: Path, mmft: Mmft) -> None:
    ended = mmft("eval", finished_run, "--json")
    figures = json.loads(ended.out)
    stored = json.loads((finished_run / "results.json").read_text())["metrics"]["test"]
    assert figures["split"] == "test"
    assert figures["accuracy"] == stored["accuracy"]
    assert figures["loss"] == pytest.approx(stored["loss"], rel=1e-5)


def test_without_an_epoch_it_says_that_nothing_was_trained(
    tmp_path: Path, photo_folder: Make, mmft: Mmft
) -> None:
    output = tmp_path / "run"
    ended = mmft(*run_arguments(output, "--dataset", photo_folder(per_class=6), "--epochs", "0"))
    assert ended.code == 0
    assert "Nothing is trained, because engine.epochs is 0" in ended.out
    assert "nothing was trained; the model is unchanged" in ended.out
    assert "0 steps" not in ended.out
    results = json.loads((output / "results.json").read_text())
    assert (results["steps"], results["parameters"]["trained"]) == (0, 0)
    assert results["backbones"]["image"]["trained"] == 0
    assert "Nothing was trained" in (output / "report.html").read_text()


def test_eval_on_other_data_takes_all_of_it(
    finished_run: Path, photo_folder: Make, mmft: Mmft
) -> None:
    other = photo_folder("other", 5, seed=9)
    figures = json.loads(mmft("eval", finished_run, "--dataset", other, "--json").out)
    assert (figures["split"], figures["samples"]) == ("all", 10)
    (other / "flower").rename(other / "flwer")
    ended = mmft("eval", finished_run, "--dataset", other)
    assert ended.code == 2
    assert "its class 'flwer' is not one of the model's. Did you mean 'flower'?" in ended.err


def test_predict_files_folders_and_globs_in_order(
    finished_run: Path, photo_folder: Make, mmft: Mmft
) -> None:
    root = photo_folder("new", 3, seed=5)
    ended = mmft(
        "predict",
        finished_run,
        root / "flower" / "002.jpg",
        root / "china",
        f"{root}/f*/00[01].jpg",
    )
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert ended.code == 0
    assert [Path(line["input"]).relative_to(root).as_posix() for line in lines] == [
        "flower/002.jpg",
        "china/000.jpg",
        "china/001.jpg",
        "china/002.jpg",
        "flower/000.jpg",
        "flower/001.jpg",
    ]
    assert {line["label"] for line in lines} <= {"china", "flower"}


def test_predict_from_standard_input_a_name_a_line(
    finished_run: Path, photo_folder: Make, mmft: Mmft, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = photo_folder("new", 2)
    names = [str(root / "flower" / "001.jpg"), str(root / "gone.jpg"), str(root / "china/000.jpg")]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(names)))
    ended = mmft("predict", finished_run, "-", "--batch-size", "1")
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert [line["input"] for line in lines] == names
    assert ["label" in line for line in lines] == [True, False, True]
    assert lines[1]["error"] == "there is no such file" and ended.code == 2


def test_inputs_that_cannot_be_used_have_rows_among_the_others(
    finished_run: Path, photo_folder: Make, mmft: Mmft, tmp_path: Path
) -> None:
    root, empty = photo_folder("new", 2), tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "rows.csv").write_text("image\na.jpg\n")
    names = [root / "gone.jpg", root / "china/000.jpg", empty, tmp_path / "rows.csv"]
    ended = mmft("predict", finished_run, *names)
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert [line["input"] for line in lines] == [str(name) for name in names]
    assert ["label" in line for line in lines] == [False, True, False, False]
    assert lines[0]["error"] == "there is no such file or folder"
    assert ended.code == 2 and "3 of 4 inputs could not be read: " in ended.err
    assert ended.err.count("take the rows of a table: --dataset TABLE.") == 1
    alone = mmft("predict", finished_run, names[0])
    assert alone.code == 2 and json.loads(alone.out) == lines[0]


def test_predict_the_samples_of_a_data_set(
    finished_run: Path, photo_folder: Make, mmft: Mmft
) -> None:
    root = photo_folder("new", 2)
    (root / "flower").rename(root / "of-no-known-class")
    ended = mmft("predict", finished_run, "--dataset", root)
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert ended.code == 0 and len(lines) == 4
    for wrong in ([], ["--dataset", root, "x.jpg"]):
        assert mmft("predict", finished_run, *wrong).code == 2
    ended = mmft("predict", finished_run, root, "--set", "task.dropuot=0.1")
    assert ended.code == 2 and "Did you mean 'dropout'?" in ended.err


def test_what_a_finished_run_cannot_change_is_refused(
    finished_run: Path, photo_folder: Make, mmft: Mmft
) -> None:
    root = photo_folder("new", 1)
    for command, key in [
        (["predict", finished_run, root], "backbone.image_size=64"),
        (["predict", finished_run, root], "dataset.val=0.5"),  # The pictures are no data set.
        (["eval", finished_run], "backbone.image.image_size=64"),
    ]:
        ended = mmft(*command, "--set", key)
        assert ended.code == 2 and "cannot be changed in a finished run" in ended.err


def test_predict_as_csv_and_table_with_alternatives(
    finished_run: Path, photo_folder: Make, mmft: Mmft
) -> None:
    root = photo_folder("new", 2, seed=5)
    ended = mmft("predict", finished_run, root, "--format", "csv", "--top-k", "2")
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert len(rows) == 4
    for row in rows:
        assert float(row["probability"]) + float(row["probability_2"]) == pytest.approx(1, abs=1e-4)
    table = mmft("predict", finished_run, root, "--format", "table").out
    assert "probability" in table and "china/000.jpg" in table.replace("\n", "")


def test_predict_tells_of_bad_files_and_does_the_others(
    finished_run: Path, photo_folder: Make, tmp_path: Path, mmft: Mmft
) -> None:
    root = photo_folder("new", 2)
    (root / "china" / "000.jpg").write_text("text")
    output = tmp_path / "answers.jsonl"
    ended = mmft("predict", finished_run, root, "-o", output)
    assert ended.code == 2
    assert "1 of 4 inputs could not be read" in ended.err
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert "not an image" in lines[0]["error"]
    assert all("label" in line for line in lines[1:])


def test_a_mistake_leaves_an_earlier_output_alone(
    finished_run: Path, photo_folder: Make, tmp_path: Path, mmft: Mmft
) -> None:
    output, root = tmp_path / "out.jsonl", photo_folder("new", 1)
    output.write_text("earlier")
    assert mmft("predict", finished_run, root, "--raw", "-o", output).code == 2
    assert output.read_text() == "earlier"


def test_eval_leaves_bad_samples_out_when_told(
    finished_run: Path, tmp_path: Path, photo_folder: Make, mmft: Mmft
) -> None:
    folder = photo_folder("more", 4)
    (folder / "china" / "broken.jpg").write_text("no picture")
    refused = mmft("eval", finished_run, "--dataset", folder)
    assert refused.code == 2 and "broken.jpg" in refused.err
    judged = mmft("eval", finished_run, "--dataset", folder, "--on-bad-sample", "skip", "--json")
    assert json.loads(judged.out)["samples"] == 8 and "broken.jpg" in judged.err


def test_bad_pictures_stop_a_run_by_path_or_are_left_out(
    tmp_path: Path, photo_folder: Make, mmft: Mmft
) -> None:
    root = photo_folder()
    (root / "china" / "broken.jpg").write_text("text")
    output = tmp_path / "run"
    arguments = run_arguments(output, "--dataset", root, "--epochs", "1")
    ended = mmft(*arguments)
    assert ended.code == 2
    assert "china/broken.jpg: it is not an image that can be decoded" in ended.err
    assert "--on-bad-sample skip" in ended.err
    assert not output.exists()
    assert mmft(*arguments, "--on-bad-sample", "skip").code == 0
    skipped = json.loads((output / "results.json").read_text())["dataset"]["skipped"]
    assert [Path(s["id"]).name for s in skipped] == ["broken.jpg"]
    assert "broken.jpg" in (output / "report.html").read_text()


def test_augmentation_and_mixing_train(tmp_path: Path, photo_folder: Make, mmft: Mmft) -> None:
    root = photo_folder()
    for name, settings in {
        "none": ["backbone.augment=none"],
        "mixed": ["backbone.augment=randaugment", "task.mixup=0.2", "task.cutmix=1.0"],
        "smooth": ["task.label_smoothing=0.1", "task.dropout=0.2", "engine.ema=0.9"],
    }.items():
        sets = [part for setting in settings for part in ("--set", setting)]
        arguments = run_arguments(tmp_path / name, "--dataset", root, "--epochs", "1", *sets)
        assert mmft(*arguments).code == 0


def test_a_model_is_trained_further_from_a_run(
    finished_run: Path, tmp_path: Path, photo_folder: Make, mmft: Mmft
) -> None:
    """A frozen backbone shows that the weights are the earlier run's."""
    from safetensors.torch import load_file

    output = tmp_path / "further"
    arguments = run_arguments(output, "--dataset", photo_folder("b"), "--epochs", "1")
    assert mmft(*arguments, "--weights", finished_run, "--tune", "head").code == 0
    before, after = (load_file(p / "model" / "model.safetensors") for p in (finished_run, output))
    backbone = [k for k in before if k.startswith("backbones.")]
    assert all(before[k].equal(after[k]) for k in backbone)
    assert not before["head.weight"].equal(after["head.weight"])


def test_dry_run_prints_a_configuration_that_runs(tmp_path: Path, mmft: Mmft) -> None:
    ended = mmft(*run_arguments(tmp_path / "run", "--tune", "last:1", "--dry-run"))
    assert ended.code == 0
    assert f"{parameters():,} parameters, {parameters('layer4'):,} of them trained" in ended.out
    assert not (tmp_path / "run").exists()
    file = tmp_path / "run.toml"
    file.write_text(ended.out)
    assert mmft("run", "-c", file, "--dry-run").out == ended.out


def test_leaving_out_all_of_a_class_is_refused(
    tmp_path: Path, photo_folder: Make, mmft: Mmft
) -> None:
    root = photo_folder()
    for file in (root / "flower").iterdir():
        file.write_text("text")
    arguments = run_arguments(tmp_path / "run", "--dataset", root, "--on-bad-sample", "skip")
    ended = mmft(*arguments)
    assert ended.code == 2
    assert "No sample of class 'flower' can be used" in ended.err or "val split" in ended.err
