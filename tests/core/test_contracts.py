"""What an outside plugin can do with the contracts' second version, from training to serving."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mmft_core import discover
from mmft_core.contracts import DatasetContext
from mmft_core.inference import opening
from mmft_core.loading.loaders import batches, training_loader
from mmft_core.loading.prepared import PreparedSplit
from mmft_testing import plugin_checks
from tests.conftest import Finished

Mmft = Callable[..., Finished]
OUTSIDE = Path(__file__).parent / "outside"


@pytest.fixture(scope="module", autouse=True)
def installed() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(OUTSIDE))
        yield


def trained(output: Path, task: str, backbone: str, *more: str) -> Path:
    from mmft_core.cli import main

    names = (f"--task={task}", f"--backbone={backbone}", "--weights=none")
    main(["run", *names, "--set=engine.workers=0", *more, "-o", str(output)])
    return output


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, installed: None) -> Path:
    return trained(tmp_path_factory.mktemp("spots") / "run", "spots", "grid-net")


def records(finished: Finished) -> list[dict[str, Any]]:
    assert finished.code == 0, finished.err
    return [json.loads(line) for line in finished.out.splitlines()]


def test_input_and_target_are_augmented_together_and_by_the_seed(run: Path) -> None:
    registry = discover()
    task = opening.load(run, registry).task
    data = next(c for c in registry if c.name == "spot-grids")
    split = data.build(None, DatasetContext(target="spots")).splits["train"]
    prepared = PreparedSplit(split, task.processors, task.codec, train=True, seed=3)
    mirrored = 0
    for index in range(len(split)):
        sample = prepared[0, index]
        again = prepared[0, index]
        assert torch.equal(sample.inputs["grid"]["cells"], again.inputs["grid"]["cells"])
        assert sample.inputs["grid"]["cells"].flatten().argmax() == sample.target["place"]
        mirrored += sample.target["spots"] != split[index].target
    assert 0.3 < mirrored / len(split) < 0.7
    plain = PreparedSplit(split, task.processors, task.codec, train=False)
    assert all(plain[0, i].target["spots"] == split[i].target for i in range(len(split)))


def test_worker_processes_change_nothing(run: Path) -> None:
    registry = discover()
    task = opening.load(run, registry).task
    data = next(c for c in registry if c.name == "spot-grids")
    split = data.build(None, DatasetContext(target="spots")).splits["train"]
    prepared = PreparedSplit(split, task.processors, task.codec, train=True, seed=3)
    keys: Any = [[(0, 0), (0, 1)], [(1, 0), (1, 5)]]
    here, there = (
        list(batches(training_loader(prepared, keys, workers=n, pin=False))) for n in (0, 1)
    )
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one.inputs["grid"]["cells"], other.inputs["grid"]["cells"])
        assert one.targets["spots"] == other.targets["spots"]


def test_what_was_chosen_on_val_and_learned_from_train_is_kept(run: Path) -> None:
    task: Any = opening.load(run, discover()).task
    assert 0 < float(task.threshold) < 1 and task.kinds == ["round", "square"]
    assert json.loads((run / "model/assets/_task/kinds.json").read_text()) == ["round", "square"]


def test_structured_predictions_are_completed_and_written_whole(run: Path, mmft: Mmft) -> None:
    found = records(mmft("predict", run, "--dataset", "spot-grids", "--split", "test"))
    assert len(found) == 24 and all(
        spot.keys() == {"row", "column"} for r in found for spot in r["spots"]
    )
    assert all(r["brightness"] and len(r["brightness"]) == len(r["spots"]) for r in found)
    table = mmft("predict", run, "--dataset", "spot-grids", "--split", "test", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(table.out)))
    assert [json.loads(row["spots"]) for row in rows] == [r["spots"] for r in found]


def test_without_its_plugin_the_model_says_what_to_install(
    run: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(OUTSIDE)])
    ended = mmft("predict", run, "[[0.0]]")
    assert ended.code == 2 and "pip install 'mmft-spots==1.0'" in " ".join(ended.err.split())


def test_the_report_shows_what_the_task_draws(run: Path) -> None:
    page = (run / "report.html").read_text()
    assert "on 6 rows, truly [{" in page and "a bare grid" not in page


def test_an_export_is_judged_and_predicts_like_its_run(
    run: Path, mmft: Mmft, tmp_path: Path, quick_latencies: None
) -> None:
    out = tmp_path / "export"
    made = mmft("export", run, "--format", "torch-export", "--samples", 8, "-o", out)
    assert made.code == 0, made.err
    judged = [json.loads(mmft("eval", place, "--json").out) for place in (run, out)]
    assert judged[0]["spot-hits"] == judged[1]["spot-hits"] > 0.5
    assert (
        judged[0]["spot-hits"]
        == json.loads((run / "results.json").read_text())["metrics"]["test"]["spot-hits"]
    )
    wanted, found = (
        records(mmft("predict", place, "--dataset", "spot-grids", "--split", "test"))
        for place in (run, out)
    )
    assert [r["spots"] for r in wanted] == [r["spots"] for r in found]
    assert all("brightness" in record for record in found)


def test_the_server_completes_and_draws(run: Path, mmft: Mmft) -> None:
    from tests.serve.tools import serving

    registry = discover()
    data = next(c for c in registry if c.name == "spot-grids")
    split = data.build(None, DatasetContext(target="spots")).splits["test"]
    with serving(run) as served:
        body = {"grid": json.dumps(split[0].inputs["grid"])}
        plain = served.client.post("/predict", json=body).json()
        drawn = served.client.post("/predict?show=true", json=body).json()
    wanted = records(mmft("predict", run, "--dataset", "spot-grids", "--split", "test"))[0]
    wanted.pop("input")
    assert plain == {"prediction": wanted}
    assert drawn["prediction"] == wanted and wanted["brightness"]
    assert drawn["shown"]["grid"].startswith("data:text/plain;base64,")


@pytest.mark.usefixtures("quick_latencies")
@pytest.mark.parametrize("task", ["captioned-spots", "fusion-cls"])
def test_a_backbone_of_several_modalities_is_trained_and_used(
    task: str, tmp_path: Path, mmft: Mmft
) -> None:
    settings = ("--dataset=spot-grids", "--set=engine.steps=40", "--set=engine.lr=0.05")
    run = trained(tmp_path / "run", task, "grid-word-net", *settings)
    found = records(mmft("predict", run, "--dataset", "spot-grids", "--split", "test"))
    assert len(found) == 24
    accuracy = json.loads(mmft("eval", run, "--json").out)["accuracy"]
    assert accuracy > 0.5
    if task == "fusion-cls":
        out = tmp_path / "export"
        assert mmft("export", run, "--format", "torch-export", "-o", out).code == 0
        assert json.loads(mmft("eval", out, "--json").out)["accuracy"] == accuracy
    assert sorted(json.loads((run / "results.json").read_text())["reads"]) == ["grid", "word"]
    listed = mmft("plugins", "show", "grid-word-net").out
    assert "grid, word" in listed or "word, grid" in listed


@pytest.mark.parametrize(
    ("task", "backbone", "words"),
    [
        ("spots", "grid-word-net", "works on grid, but backbone 'grid-word-net' reads grid+word"),
        ("captioned-spots", "grid-net", "works on grid+word, but backbone 'grid-net' reads grid"),
        ("captioning", "grid-word-net", "but 'grid-word-net' reads several"),
        (
            "fusion-cls",
            "grid=grid-net --backbone=grid+word=grid-word-net",
            "'grid-net' and 'grid-word-net' both read grid",
        ),
    ],
)
def test_what_does_not_read_together_does_not_fit(
    task: str, backbone: str, words: str, mmft: Mmft, tmp_path: Path
) -> None:
    more = ("--dataset", "spot-grids", "-o", tmp_path / "r")
    refused = mmft("run", "--task", task, *f"--backbone={backbone}".split(), *more)
    assert refused.code == 2 and words in " ".join(refused.err.split())


@pytest.fixture(scope="module")
def checks(installed: None) -> dict[str, Any]:
    return {param.id: param for param in plugin_checks("spots")}


def test_the_kit_takes_it(checks: dict[str, Any]) -> None:
    for name, param in checks.items():
        if "graphs" not in name:
            try:
                param.values[0]()
            except pytest.skip.Exception:
                continue
