"""Detection as a user calls it: run on a folder with a bad sample, predict, eval, data check."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from mmft_core import discover
from mmft_core.config.resolving import make_plan
from mmft_core.contracts import Runner
from mmft_core.contracts.callbacks import Callback, TrainStep
from mmft_core.run.runner import resume, train
from mmft_export.torch_format import TorchExport
from mmft_export.tracing import GraphInfo
from tests.conftest import Finished
from tests.detection.tools import write_coco
from tests.serve.tools import serving

pytest.importorskip("pycocotools")

Mmft = Callable[..., Finished]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO folder, one of whose training pictures has a box outside."""
    root = tmp_path_factory.mktemp("data") / "coco"
    write_coco(root)
    file = root / "annotations" / "instances_train.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["bbox"] = [80, 80, 40, 40]
    file.write_text(json.dumps(content))
    return root


def arguments(folder: Path, output: Path) -> list[str | Path]:
    settings = {
        "engine.steps": 4,
        "engine.eval_every": 2,
        "engine.checkpoint_every": 2,
        "engine.workers": 0,
        "engine.batch_size": 4,
        "backbone.image_size": 96,
        "backbone.size": "tiny",
        "task.min_score": 0,
        "task.augment": "strong",
    }
    sets = [f"--set={key}={value}" for key, value in settings.items()]
    names = ["--task=detection", "--backbone=rt-detr-r18", f"--dataset={folder}"]
    return ["run", *names, *sets, "-o", output]


@pytest.fixture
def graphs_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read each torch.export file once instead of in every command, which saves two seconds."""
    read = TorchExport.run
    runners: dict[Path, Runner] = {}

    def run(self: TorchExport, file: Path, info: GraphInfo) -> Runner:
        if file not in runners:
            runners[file] = read(self, file, info)
        return runners[file]

    monkeypatch.setattr(TorchExport, "run", run)


@pytest.mark.usefixtures("quick_latencies", "graphs_read_once")
def test_a_folder_from_its_check_to_its_predictions(
    folder: Path, tmp_path: Path, mmft: Mmft
) -> None:
    bad = "its box 1 ('8') [80, 80, 120, 120] reaches outside the picture of 96 x 96 pixels"
    run = tmp_path / "run"
    refused = mmft(*arguments(folder, run))
    assert refused.code == 2 and bad in refused.err
    checked = mmft("data", "check", folder, "--task", "detection")
    assert checked.code == 1 and bad in checked.out
    assert mmft(*arguments(folder, run), "--on-bad-sample=skip").code == 0
    metrics = json.loads((run / "results.json").read_text())["metrics"]["test"]
    assert 0 <= metrics["detection-map"] <= 1
    page = (run / "report.html").read_text()
    assert "Most wrong" in page and "data:image/jpeg" in page
    again = json.loads(mmft("eval", run, "--json").out)
    assert again["detection-map"] == pytest.approx(metrics["detection-map"])
    picture = folder / "test" / "test0.png"
    line = json.loads(mmft("predict", run, picture, "--format=jsonl").out)
    assert 0 < len(line["objects"]) <= 100
    assert set(line["objects"][0]) == {"label", "score", "box"}
    (row,) = csv.DictReader(io.StringIO(mmft("predict", run, picture, "--format=csv").out))
    assert json.loads(row["objects"]) == line["objects"]
    export = tmp_path / "export"
    told = mmft("export", run, "--format=torch-export", "--samples=6", "-o", export)
    assert told.code == 0 and "100.0% of the predictions are the same" in told.out, told.err
    assert json.loads(mmft("eval", export, "--json").out)["detection-map"] == pytest.approx(
        again["detection-map"], abs=1e-4
    )
    assert json.loads(mmft("predict", export, picture, "--format=jsonl").out) == line
    with serving(export) as served:
        answer = served.client.post("/predict?show=true", files={"image": picture.read_bytes()})
    assert answer.json()["prediction"]["objects"] == line["objects"]
    assert answer.json()["shown"]["image"].startswith("data:image/")


class StopAt(Callback):
    """Asks for an end after a step, as Ctrl-C does."""

    def __init__(self, step: int) -> None:
        self.at = step

    def on_step(self, event: TrainStep) -> None:
        if event.step == self.at:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_run_that_goes_on_ends_with_the_same_weights(folder: Path, tmp_path: Path) -> None:
    settings = {
        "on_bad_sample": "skip",
        "task": {"name": "detection", "augment": "strong"},
        "backbone": {"name": "rt-detr-r18", "size": "tiny", "image_size": 96},
        "dataset": {"path": str(folder)},
        "engine": {"steps": 4, "eval_every": 4, "checkpoint_every": 1, "workers": 0},
    }
    settings["engine"] |= {"batch_size": 4}
    plan = make_plan(settings, discover())
    train(plan, tmp_path / "whole")
    assert train(plan, tmp_path / "cut", [StopAt(2)]).fit.ending == "interrupted"
    resume(tmp_path / "cut", make_plan(plan.tree(), discover()))
    whole, cut = (
        (tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "cut")
    )
    assert whole == cut
