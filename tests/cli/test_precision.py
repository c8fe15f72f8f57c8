"""In which precision a finished model is judged and predicts, and who decides that."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mmft_core.cli import main
from mmft_core.precision import Inference, inference_precision
from mmft_serve import app
from tests.conftest import Finished, make_photo_folder, run_arguments

Mmft = Callable[..., Finished]
CPU, GPU = torch.device("cpu"), torch.device("cuda")
BF16 = ("--set", "engine.precision=bf16")

pytestmark = [
    pytest.mark.skipif(torch.cuda.is_available(), reason="looks at what a CPU does"),
    pytest.mark.usefixtures("narrow_pictures"),
]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, photographs: dict[str, Image.Image]) -> Path:
    return make_photo_folder(tmp_path_factory.mktemp("photos") / "all", photographs, per_class=10)


def train(output: Path, photos: Path, *more: str) -> Path:
    settings = ("--dataset", photos, "--batch-size", "6", "--set", "engine.steps=6", *more)
    main([str(a) for a in run_arguments(output, *settings)])
    return output


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("run") / "run", photos)


@pytest.fixture(scope="module")
def asked(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a precision that its user chose."""
    return train(tmp_path_factory.mktemp("asked") / "run", photos, *BF16)


def probabilities(out: str) -> np.ndarray[Any, Any]:
    """(N, 2), by the names of the classes."""
    lines = [json.loads(line) for line in out.splitlines()]
    named = [{e["label"]: e["probability"] for e in line["top"]} for line in lines]
    return np.array([[each[name] for name in sorted(each)] for each in named])


def predicted(mmft: Mmft, run: Path, files: Sequence[Path], *more: str) -> np.ndarray[Any, Any]:
    found = mmft("predict", run, *files, "--top-k", "2", *more)
    assert found.code == 0, found.err
    return probabilities(found.out)


def told(run: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((run / "results.json").read_text())
    return results


def test_a_device_s_precision() -> None:
    assert inference_precision("auto", CPU) == inference_precision("fp32", CPU) == "fp32"
    assert inference_precision("bf16", CPU) == "bf16"
    assert inference_precision("fp16", CPU) == "fp32", "a run on a GPU chose it"


@pytest.mark.parametrize(("able", "best"), [(True, "bf16"), (False, "fp16")])
def test_on_a_gpu_it_is_that_of_training(
    able: bool, best: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: able)
    assert inference_precision("auto", GPU) == best
    assert inference_precision("fp32", GPU) == "fp32"
    assert inference_precision("fp16", GPU) == "fp16"


def test_autocast_is_on_only_where_it_reduces_precision() -> None:
    ones = torch.ones(2, 2)
    with Inference.of("auto", CPU).autocast():
        assert (ones @ ones).dtype == torch.float32
    with Inference.of("bf16", CPU).autocast():
        assert (ones @ ones).dtype == torch.bfloat16


def test_eval_repeats_all_figures_of_a_run(run: Path, asked: Path, mmft: Mmft) -> None:
    assert told(run)["environment"]["inference_precision"] == "fp32"
    assert told(asked)["environment"]["inference_precision"] == "bf16"
    for each in (run, asked):
        for split in ("val", "test"):
            found = json.loads(mmft("eval", each, "--split", split, "--json").out)
            for name, value in told(each)["metrics"][split].items():
                if isinstance(value, float):
                    assert found[name] == pytest.approx(value, rel=1e-5), name
    last = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    best = max((line for line in last if line.get("split") == "val"), key=lambda x: x["accuracy"])
    assert told(run)["metrics"]["val"]["accuracy"] == best["accuracy"], "judged alike in training"


def test_an_answer_does_not_depend_on_its_batch(run: Path, photos: Path, mmft: Mmft) -> None:
    files = sorted(photos.rglob("*.jpg"))
    wanted = predicted(mmft, run, files, "--batch-size", "1")
    for size in ("2", "20"):
        assert np.abs(predicted(mmft, run, files, "--batch-size", size) - wanted).max() < 1e-5
    assert np.abs(predicted(mmft, run, files[::-1])[::-1] - wanted).max() < 1e-5


def test_another_precision_by_a_setting(run: Path, photos: Path, mmft: Mmft) -> None:
    files = sorted(photos.rglob("*.jpg"))
    full, reduced = predicted(mmft, run, files), predicted(mmft, run, files, *BF16)
    assert 1e-5 < np.abs(full - reduced).max() < 0.1
    losses = [json.loads(mmft("eval", run, *more, "--json").out)["loss"] for more in ((), BF16)]
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], abs=0.1)
    assert "(cpu, bf16)" in mmft("eval", run, *BF16).out
    assert "(cpu, fp32)" in mmft("eval", run).out


def test_what_a_user_chose_for_a_run_is_how_it_is_used(
    asked: Path, photos: Path, mmft: Mmft
) -> None:
    files = sorted(photos.rglob("*.jpg"))
    own = predicted(mmft, asked, files)
    assert np.array_equal(own, predicted(mmft, asked, files, *BF16))
    assert not np.array_equal(own, predicted(mmft, asked, files, "--set", "engine.precision=fp32"))


def test_a_model_that_says_nothing_of_precision_can_be_used(
    asked: Path, photos: Path, tmp_path: Path, mmft: Mmft
) -> None:
    """As those that were written before."""
    old = shutil.copytree(asked, tmp_path / "old")
    file = old / "model" / "model.json"
    content = json.loads(file.read_text())
    assert content.pop("precision") == "bf16"
    file.write_text(json.dumps(content))
    (old / "model" / "digests.json").unlink()
    found = json.loads(mmft("eval", old, "--json").out)
    assert found["loss"] == pytest.approx(told(asked)["metrics"]["test"]["loss"], rel=1e-5)
    assert mmft("predict", old, photos).code == 0


def test_indexing_and_searching_and_serving(
    photos: Path, tmp_path: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ("--set", "engine.steps=1", "--set", "engine.workers=0", "--weights", "none")
    parts = ("--task", "image-retrieval", "--backbone", "resnet18", "--dataset", photos)
    run = tmp_path / "run"
    assert mmft("run", *parts, *settings, "--set=backbone.image_size=32", "-o", run).code == 0
    scores = {}
    for name, more in (("fp32", ()), ("bf16", BF16)):
        place = tmp_path / name
        assert mmft("index", run, photos, "-o", place, *more).code == 0
        found = mmft("search", run, photos / "flower" / "001.jpg", "--index", place, *more)
        scores[name] = [hit["score"] for hit in json.loads(found.out)["found"]]
    assert scores["fp32"] != scores["bf16"]
    assert scores["fp32"] == pytest.approx(scores["bf16"], abs=0.05)

    predictors: list[Any] = []
    create_app = app.create_app

    def create(*given: Any, **more: Any) -> Any:
        predictors.append(given[1])
        return create_app(*given, **more)

    monkeypatch.setattr("mmft_serve.server.run", lambda service, listener: None)
    monkeypatch.setattr("mmft_serve.app.create_app", create)
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    for more in ((), BF16):
        assert mmft("serve", run, "--port", "0", *more).code == 0
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
    assert [predictor.inference.precision for predictor in predictors] == ["fp32", "bf16"]


@pytest.mark.usefixtures("quick_latencies")
def test_what_cannot_be_is_refused(run: Path, photos: Path, mmft: Mmft) -> None:
    def refused(*arguments: str | Path) -> str:
        ended = mmft(*arguments)
        assert ended.code == 2 and "Traceback" not in ended.err
        return " ".join(ended.err.split())

    for command in (("predict", run, photos), ("eval", run), ("serve", run)):
        assert "engine.precision = 'fp16' needs a GPU" in refused(
            *command, "--set", "engine.precision=fp16"
        )
        assert "engine.precision" in refused(*command, "--set", "engine.precision=half")
    for command in (("predict", run, photos), ("serve", run), ("search", run, "x")):
        found = refused(*command, "--set", "engine.lr=1")
        assert "engine.lr cannot be changed in a finished run" in found
        assert "engine.precision" in found
    assert mmft("export", run, "--format", "torch-export", "--samples", "2").code == 0
    place = run / "export" / "torch-export"
    for command in (("predict", place, photos), ("eval", place)):
        assert "an export has a fixed precision" in refused(*command, *BF16)
    assert mmft("predict", place, photos, "--set", "engine.precision=fp32").code == 0


def test_predicting_does_not_measure_what_training_would_choose(
    run: Path, photos: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmft_core.precision.bf16_speedup", lambda: pytest.fail("it measures"))
    assert mmft("predict", run, photos / "flower" / "001.jpg").code == 0
