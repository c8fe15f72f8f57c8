"""The Python API: a run from Python is the run that the command line makes, and is used alike."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmft
from mmft.display import NotebookDisplay, quiet_or_shown
from mmft_core.cli import main
from mmft_core.utils.files import umask
from tests.api.conftest import SMALL, Heard, pictures


def test_importing_it_imports_no_torch() -> None:
    code = "import mmft, sys; assert 'torch' not in sys.modules; assert mmft.plugins().components"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_run_learns_and_has_its_metrics_and_report(reds: mmft.Run) -> None:
    assert reds.metrics["test"]["accuracy"] == 1
    assert reds.metrics == json.loads((reds.path / "results.json").read_text())["metrics"]
    assert "accuracy" in reds.report.html
    assert "srcdoc=" in reds.report._repr_html_()
    assert "<td>accuracy</td>" in reds._repr_html_()


def test_callbacks_hear_of_it(reds: mmft.Run, heard: Heard) -> None:
    assert heard.events[0] == "step 1"
    assert heard.events.count("val") == 2 and heard.events[-1] == "test"


def test_predictions_of_pictures_files_and_rows_agree(reds: mmft.Run, tmp_path: Path) -> None:
    rows = pictures(4)
    for number, row in enumerate(rows):
        row["image"].save(tmp_path / f"{number}.png")
    images = [row["image"] for row in rows]
    expected = [row["label"] for row in rows]
    for inputs in (images, [tmp_path / f"{n}.png" for n in range(4)], str(tmp_path), rows):
        found = reds.predict(inputs)
        assert [record["label"] for record in found] == expected
    one = reds.predict(images[1], top_k=2)
    assert one[0]["top"][0]["label"] == "red" and len(one[0]["top"]) == 2


def test_the_command_line_predicts_the_same(
    reds: mmft.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "red.png"
    pictures(2)[1]["image"].save(picture)
    capsys.readouterr()
    main(["predict", str(reds.path), str(picture), "--format", "jsonl"])
    assert json.loads(capsys.readouterr().out) == reds.predict(picture)[0]


def test_it_is_evaluated_on_its_own_data_and_on_others(reds: mmft.Run) -> None:
    own = reds.evaluate(progress=False)
    assert own["accuracy"] == reds.metrics["test"]["accuracy"]
    assert own["loss"] == pytest.approx(reds.metrics["test"]["loss"], rel=1e-5)
    swapped = [row | {"label": "dark"} for row in pictures(8)]
    found = reds.evaluate(swapped, metrics=["accuracy"], progress=False)
    assert found["accuracy"] == 0.5 and set(found) == {"loss", "accuracy"}


def test_a_loaded_run_and_its_export_predict_alike(reds: mmft.Run) -> None:
    loaded = mmft.load(reds.path)
    picture = pictures(2)[1]["image"]
    (expected,) = reds.predict(picture)
    assert loaded.predict(picture) == [expected]
    export = loaded.export("safetensors", progress=False)
    with pytest.raises(mmft.RunDirectoryError, match="is an export"):
        _ = export.metrics
    (found,) = export.predict(picture)
    assert found["label"] == expected["label"]


def test_what_cannot_be_read_is_told_and_the_others_can_be_kept(
    reds: mmft.Run, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    pictures(1)[0]["image"].save(good)
    bad.write_bytes(b"no picture")
    with pytest.raises(mmft.DataError, match=r"1 of 2 inputs could not be read: .*bad\.png"):
        reds.predict([good, bad])
    kept = reds.predict([good, bad], on_error="keep")
    assert kept[0]["label"] == "dark" and set(kept[1]) == {"input", "error"}


def test_mistakes_are_the_command_lines_errors(reds: mmft.Run, tmp_path: Path) -> None:
    with pytest.raises(mmft.UnknownComponentError, match="Did you mean 'resnet18'"):
        mmft.run(task="image-cls", backbone="resnet8")
    with pytest.raises(mmft.ConfigError, match=r"engine\.lr"):
        mmft.run(task="image-cls", backbone="resnet18", engine={"lr": "much"})
    with pytest.raises(mmft.ConfigError, match="can be changed in a finished run"):
        reds.predict("x.png", backbone={"image_size": 64})
    with pytest.raises(mmft.ConfigError, match="task is 'image-cls', which names no option"):
        reds.evaluate(task="image-cls")
    with pytest.raises(mmft.RunDirectoryError):
        mmft.load(tmp_path)
    with pytest.raises(mmft.RunDirectoryError, match="finished"):
        mmft.resume(reds.path)
    with pytest.raises(mmft.ConfigError, match="'report' cannot be added"):
        mmft.resume(reds.path, callbacks=["report"])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"lr": 1e-3, "engine.lr": 1e-2}, r'engine.lr is given twice, by lr= and by "engine.lr"'),
        (
            {"engine": {"steps": 3}, "engine.steps": 4},
            r'engine.steps is given twice, by engine=\{...\} and by "engine.steps"',
        ),
        ({"metric": "accuracy"}, r"no argument or setting 'metric'.*metrics=\["),
        ({"dry_run": True}, "`mmft run --dry-run` shows all settings"),
        ({"track": "mlflow"}, "Trackers are callbacks: callbacks="),
        ({"epoch": 3}, "Did you mean 'epochs'"),
        ({"image_size": 64}, "Did you mean 'backbone.image_size'"),
        ({"backbone": None}, r"No backbone was chosen. Give backbone=NAME; `mmft.plugins\(kind="),
        (
            {"dataset": [{"text": "a"}] * 4},
            "^The data has no column that is clearly the path",
        ),
        ({"optimizer": {"betta": 1}}, "Optimizer 'adamw' has no option 'optimizer.betta'"),
    ],
)
def test_mistakes_are_told_in_the_words_of_python(given: Any, words: str, cache: Path) -> None:
    with pytest.raises(mmft.MmftError, match=words) as caught:
        mmft.run(**{"task": "image-cls", "backbone": "resnet18", "progress": False, **given})
    told = str(caught.value)
    assert str(cache) not in told and "--" not in told.replace("mmft run --dry-run", "")


def test_notices_point_at_the_caller(cache: Path) -> None:
    with pytest.warns(FutureWarning, match="is now called") as told, pytest.raises(mmft.MmftError):
        mmft.run(task="image-cls", backbone="resnet18", engine={"accumulate": 2, "lrr": 1})
    assert {warning.filename for warning in told} == {__file__}


def test_components_are_listed_by_kind() -> None:
    assert {c.kind for c in mmft.plugins(kind="callbacks")} == {"callback"}
    assert "bert-base" not in {c.name for c in mmft.plugins("backbone", modality="image")}
    with pytest.raises(mmft.ConfigError, match="trackers are callbacks"):
        mmft.plugins("trackers")


def test_rows_that_were_trained_on_are_told(
    reds: mmft.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    reds.evaluate([*pictures(60), *pictures(61)[60:]], progress=False)
    told = capsys.readouterr().err
    assert "The model was trained on 48 of these 61 samples" in told
    reds.evaluate(progress=False)
    assert "was trained on" not in capsys.readouterr().err


def test_a_run_of_data_in_memory_is_not_called_by_a_file_of_the_cache(reds: mmft.Run) -> None:
    title = reds.report.html.partition("<title>")[2].partition("</title>")[0]
    assert "data in memory" in title and "parquet" not in title
    assert (reds.path / "model" / "model.safetensors").stat().st_mode & 0o777 == 0o666 & ~umask()


def test_whatever_cannot_be_predicted_is_told_in_a_sentence(reds: mmft.Run) -> None:
    picture = pictures(1)[0]["image"]
    for strange in (None, 5, [picture, float("nan")], np.zeros((4, 4, 3)), {picture.mode}):
        with pytest.raises(mmft.DataError, match="could not be read"):
            reds.predict(strange)
    kept = reds.predict([picture, None], on_error="keep")
    assert kept[0]["label"] == "dark" and "cannot read a NoneType" in kept[1]["error"]
    kept = reds.predict(["gone.png", picture], on_error="keep")
    assert "there is no such file" in kept[0]["error"] and kept[1]["label"] == "dark"
    with pytest.raises(mmft.ConfigError, match="'topk' is not an argument .* mean 'top_k'"):
        reds.predict(picture, topk=2)
    with pytest.raises(mmft.ConfigError, match="top_k is 0"):
        reds.predict(picture, top_k=0)
    (row,) = reds.predict({"image": picture})
    assert row["label"] == "dark"
    assert reds.predict(picture for _ in range(2)) == reds.predict([picture] * 2)


def test_names_may_stand_alone_and_numbers_may_be_numpys(reds: mmft.Run) -> None:
    found = reds.evaluate(metrics="accuracy", progress=False)
    assert set(found) == {"loss", "accuracy"}
    rows = pictures(8)
    with pytest.raises(mmft.UnknownComponentError, match="no callback named 'reprot'"):
        mmft.run(task="image-cls", backbone="resnet18", dataset=rows, callbacks="reprot")
    with pytest.raises(mmft.ConfigError, match=r"engine\.epochs = -1"):
        mmft.run(task="image-cls", backbone="resnet18", dataset=rows, epochs=np.int64(-1))


def test_only_objects_of_callbacks_follow_a_run(cache: Path, tmp_path: Path) -> None:
    for given, words in (
        (Heard, r"Heard is a class\. Give an object: Heard\(\)"),
        (object(), "not"),
    ):
        with pytest.raises(mmft.ConfigError, match=words):
            mmft.run(
                task="image-cls",
                backbone="resnet18",
                dataset=pictures(8),
                output=tmp_path / "run",
                callbacks=[given],  # type: ignore[list-item]
                progress=False,
            )
    assert not (tmp_path / "run").exists()


class Stop(Heard):
    """Interrupts a training as Ctrl-C does."""

    def on_step(self, event: Any) -> None:
        super().on_step(event)
        if event.step == 2:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupted_run_goes_on(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    common: dict[str, Any] = {"progress": False, "output": path, "epochs": 1, "batch_size": 8}
    with pytest.raises(KeyboardInterrupt, match="resume"):
        mmft.run(
            task="image-cls",
            backbone="resnet18",
            dataset=pictures(40),
            weights="none",
            callbacks=[Stop()],
            **common,
            **SMALL,
        )
    with pytest.raises(mmft.RunDirectoryError, match="not finished"):
        mmft.load(path)
    run = mmft.resume(path, progress=False)
    assert isinstance(run, mmft.Run) and run.results["ending"] == "finished"


def test_a_notebook_sees_progress_and_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    class Handle:
        def update(self, page: Any) -> None:
            shown.append(page.data)

    class Page:
        def __init__(self, data: str) -> None:
            self.data = data

    def display(page: Any, display_id: bool) -> Handle:
        shown.append(page.data)
        return Handle()

    class Shell:
        kernel = object()

    pages = type("M", (), {"HTML": Page, "display": staticmethod(display)})
    ipython = type("M", (), {"get_ipython": staticmethod(Shell), "display": pages})
    modules = {"IPython": ipython, "IPython.display": pages}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    from mmft_core.contracts import TrainStart, TrainStep

    with quiet_or_shown(True) as found:
        assert isinstance(found, NotebookDisplay)
        found.on_message("3 pictures <b>")
        found.on_train_start(
            TrainStart(step=0, total_steps=9, steps_per_epoch=9, samples=9, precision="", device="")
        )
        found.on_step(
            TrainStep(step=9, epoch=1, loss=0.5, lr=0.1, samples=90, seconds=9.0, waited=0.0)
        )
    assert "3 pictures &lt;b&gt;" in shown[-1] and 'value="9" max="9"' in shown[-1]
    assert "loss 0.5000, 10 samples/s" in shown[-1]
