"""Trackers: what they hold of a run, after an interruption, and when they fail."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import signal
import sqlite3
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mmft_core import discover
from mmft_core.cli import main
from mmft_core.config.given import resumed_settings
from mmft_core.config.plan import Plan
from mmft_core.config.resolving import make_plan
from mmft_core.config.trees import dump_toml, read_toml
from mmft_core.contracts.callbacks import Callback, Record, RunStart, TrainStart
from mmft_core.engine.metrics_log import read_metrics
from mmft_core.errors import MmftError, StopTrainingError
from mmft_core.run.callbacks import Callbacks
from mmft_trackers.identity import Identity
from tests.conftest import Finished, run_arguments
from tests.faults.operations import die_after
from tests.faults.processes import Cli
from tests.tracking import wandb_double

Mmft = Callable[..., Finished]

SHORT = ("--batch-size", "8", "--set", "engine.log_every=2", "--set", "engine.eval_every=4")
TRACKED = ("--callback", "tensorboard", "--callback", "mlflow")


@pytest.fixture(scope="module")
def resumed(tiny_backbone: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tracked run that was killed after its second evaluation, and resumed.

    Its settings are written as version 0.1 wrote them, in which every run had all tables.
    """
    folder = tmp_path_factory.mktemp("runs")
    output, log = folder / "killed", folder / "log"
    more = (*SHORT, *TRACKED, "--set", "engine.steps=16")
    process = Cli(run_arguments(output, *more, backbone="tiny"), log, partial(die_after, output, 8))
    assert process.wait() == -signal.SIGKILL, process.text
    config = read_toml(output / "config.toml")
    names = [name.partition("/")[2] for name in config.pop("callbacks")]
    assert names.pop(0) == "report" and config.pop("callback")
    tables = {"mlflow": {"uri": "none", "experiment": "mmft"}, "wandb": {"project": "mmft"}}
    text = dump_toml(config | {"tracking": {"to": names, **tables}})
    (output / "config.toml").write_text(text)
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        main(["run", "--resume", str(output)])
    assert "failed and is not called" not in said.getvalue(), said.getvalue()
    assert said.getvalue().count("trackers are callbacks now") == 1
    return output


def expected(run: Path) -> dict[str, list[tuple[int, float]]]:
    """What `metrics.jsonl` holds of some figures."""
    points: dict[str, list[tuple[int, float]]] = {}
    for record in read_metrics(run / "metrics.jsonl"):
        split = record.get("split", "train")
        for name in ("loss", "lr", "accuracy"):
            if name in record:
                point = (record["step"], pytest.approx(record[name], rel=1e-5))
                points.setdefault(f"{split}/{name}", []).append(point)
    assert {"train/loss", "train/lr", "val/accuracy", "test/accuracy"} <= points.keys()
    return points


def test_tensorboard_holds_what_the_run_did(resumed: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(resumed / "tensorboard"))
    events.Reload()
    for name, points in expected(resumed).items():
        assert [(e.step, e.value) for e in events.Scalars(name)] == points
    texts = {
        tag: events.Tensors(tag)[0].tensor_proto.string_val for tag in events.Tags()["tensors"]
    }
    assert b"# " in texts["README/text_summary"][0]
    assert texts["ending/text_summary"] == [b"finished"]


def test_mlflow_holds_what_the_run_did(resumed: Path) -> None:
    from mlflow import MlflowClient

    store = resumed.parent / "mlflow" / "mlflow.db"
    client = MlflowClient(tracking_uri=f"sqlite:///{store}")
    experiment = client.get_experiment_by_name("mmft")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_id == json.loads((resumed / "tracking.json").read_text())["mlflow"]
    assert (run.info.status, run.info.run_name) == ("FINISHED", "killed")
    for name, points in expected(resumed).items():
        history = client.get_metric_history(run.info.run_id, name)
        assert [(m.step, m.value) for m in sorted(history, key=lambda m: m.step)] == points
    config = tomllib.loads((resumed / "config.toml").read_text())
    assert run.data.params["engine.lr"] == str(config["engine"]["lr"])
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files == {"report.html", "README.md", "results.json"}


def test_nothing_is_tracked_unless_asked_for(tmp_path: Path, mmft: Mmft) -> None:
    ended = mmft(*run_arguments(tmp_path / "run", "--dry-run"))
    assert tomllib.loads(ended.out)["callbacks"] == ["report/report"]
    ended = mmft(*run_arguments(tmp_path / "run", "--dry-run", *TRACKED))
    names = tomllib.loads(ended.out)["callbacks"]
    assert names == ["report/report", "trackers/tensorboard", "trackers/mlflow"]


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    module: ModuleType = wandb_double.make()
    monkeypatch.setitem(sys.modules, "wandb", module)
    # Whether it is installed is asked of the environment, which need not have the real one.
    real = importlib.metadata.version

    def version(name: str) -> str:
        return "0.31" if name == "wandb" else real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.delitem(sys.modules, "mmft_trackers.wandb", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    yield module
    sys.modules.pop("mmft_trackers.wandb", None)


def train(step: int) -> dict[str, Any]:
    return {"step": step, "epoch": 1, "loss": 1 / step, "lr": 0.1, "samples": 8, "seconds": 1.0}


def val(step: int) -> dict[str, Any]:
    return {"step": step, "epoch": 1, "split": "val", "best": True, "loss": 0.5, "top [5]": 0.9}


class Listener(Callback):
    def __init__(self) -> None:
        self.said: list[str] = []

    def on_message(self, text: str) -> None:
        self.said.append(text)


def plan_of(*names: str, **tables: dict[str, Any]) -> Plan:
    """Any plan with these callbacks, and their options."""
    parts = {"task": "image-cls", "backbone": "resnet18"}
    return make_plan({**parts, "callbacks": list(names), "callback": tables}, discover())


@contextlib.contextmanager
def tracking(
    plan: Plan, run: Path, listener: Listener, step: int = 0, logged: Sequence[Record] = ()
) -> Iterator[Callbacks]:
    """The callbacks of a plan in a training that resumes after a step."""
    with Callbacks(plan, run, [listener]) as callbacks:
        callbacks.on_run_start(RunStart(directory=run, settings={"a.b": 1}, logged=logged))
        numbers = {"total_steps": 9, "steps_per_epoch": 3, "samples": 9}
        callbacks.on_train_start(TrainStart(step=step, precision="fp32", device="cpu", **numbers))
        yield callbacks


def test_wandb_is_told_what_it_lacks(tmp_path: Path, wandb: Any) -> None:
    plan, listener = plan_of("wandb", wandb={"mode": "offline"}), Listener()
    run = tmp_path / "runs" / "one"
    run.mkdir(parents=True)
    report = run / "report.html"
    logged = [train(2), val(2), train(4)]
    with pytest.raises(KeyboardInterrupt), tracking(plan, run, listener) as first:
        for record in logged:
            first.on_log(record)
        raise KeyboardInterrupt
    # Step 4 was told before the checkpoint of step 3; step 3 came into the file alone.
    with tracking(plan, run, listener, 3, logged) as second:
        for record in (train(4), val(4), train(6)):
            second.on_log(record)
        report.touch()
        second.finished()
    early, late = wandb.runs
    assert early.given["id"] == late.given["id"] and late.given["resume"] == "allow"
    assert (early.exit_code, late.exit_code) == (1, 0)
    assert early.given["config"] == {"a.b": 1} and early.given["dir"] == tmp_path / "runs"
    rows = [(row["step"], sorted(set(row) - {"step"})) for row in early.rows + late.rows]
    names = ["train/epoch", "train/loss", "train/lr"]
    judged = ["val/loss", "val/top _5_"]
    assert rows == [(2, names), (2, judged), (4, names), (4, judged), (6, names)]
    assert late.artifacts[0].files == [str(report)] and not early.artifacts
    assert not listener.said


def test_a_tracker_that_fails_is_reported_once(tmp_path: Path, wandb: Any) -> None:
    plan, listener = plan_of("wandb", "tensorboard", wandb={"mode": "offline"}), Listener()
    with tracking(plan, tmp_path, listener) as callbacks:
        wandb.runs[0].log = lambda row: 1 / 0
        callbacks.on_log(train(1))
        callbacks.on_log(train(2))
    (said,) = listener.said
    assert said.startswith("Callback 'wandb' failed and is not called again: ZeroDivisionError")
    assert "mmft_trackers.wandb, line" in said
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1


def test_a_store_that_goes_away_does_not_end_training(tmp_path: Path) -> None:
    listener, run = Listener(), tmp_path / "run"
    run.mkdir()
    with tracking(plan_of("mlflow"), run, listener) as callbacks:
        with sqlite3.connect(tmp_path / "mlflow" / "mlflow.db") as base:
            base.execute("DROP TABLE metrics")
        for record in (train(1), val(1), train(2), val(2)):
            callbacks.on_log(record)
    assert len(listener.said) == 1 and listener.said[0].startswith("Callback 'mlflow' failed")


def test_mlflow_shows_parts_below_what_they_are_part_of(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    whole, listener = tmp_path / "crossed", Listener()
    for fold in ("fold-1", "fold-2"):
        (whole / fold).mkdir(parents=True)
        (whole / "config.toml").touch()
        with tracking(plan_of("mlflow"), whole / fold, listener):
            pass
    assert not listener.said
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("mmft")
    runs = {r.info.run_name: r for r in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"crossed", "crossed/fold-1", "crossed/fold-2"}
    parent = runs.pop("crossed").info
    assert parent.status == "FINISHED"
    assert {r.data.tags["mlflow.parentRunId"] for r in runs.values()} == {parent.run_id}


@pytest.mark.parametrize(
    ("error", "code"), [(ValueError, 1), (StopTrainingError, 0), (KeyboardInterrupt, 1)]
)
def test_how_a_run_ended_is_told(
    tmp_path: Path, wandb: Any, error: type[BaseException], code: int
) -> None:
    plan = plan_of("wandb", wandb={"mode": "offline"})
    with pytest.raises(error), tracking(plan, tmp_path, Listener()):
        raise error
    endings = {ValueError: "failed", StopTrainingError: "stopped", KeyboardInterrupt: "interrupted"}
    assert wandb.runs[0].summary["ending"] == endings[error]
    assert wandb.runs[0].exit_code == code


def test_mistakes_show_before_training(
    tmp_path: Path, mmft: Mmft, wandb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "run"
    ended = mmft(*run_arguments(output, "--callback", "wandb"))
    assert ended.code == 2 and "no API key" in ended.err and "mode=offline" in ended.err
    wandb.logged_in = True
    Callbacks(plan_of("wandb"), output).prepare()
    ended = mmft(*run_arguments(output, "--callback", "tensorbord"))
    assert ended.code == 2 and "Did you mean 'tensorboard'?" in ended.err
    uri = ("--set", "callback.mlflow.uri=nowhere://x")
    ended = mmft(*run_arguments(output, "--callback", "mlflow", *uri))
    assert ended.code == 2 and "callback.mlflow.uri = 'nowhere://x'" in ended.err
    ended = mmft(*run_arguments(output, *uri))
    assert ended.code == 2 and "the run has no callback 'mlflow'" in ended.err
    monkeypatch.delitem(sys.modules, "mmft_trackers.wandb", raising=False)
    monkeypatch.setitem(sys.modules, "wandb", None)
    ended = mmft(*run_arguments(output, "--callback", "wandb"))
    assert ended.code == 2 and "pip install 'mmft[wandb]'" in ended.err
    assert not output.exists()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(MmftError, match="server or correct"):
        Callbacks(plan_of("mlflow", mlflow={"uri": "http://127.0.0.1:9"}), output).prepare()


def test_what_version_0_1_wrote_still_works(tmp_path: Path, mmft: Mmft) -> None:
    """Trackers had a table of their own, which every configuration held."""
    file, arguments = tmp_path / "old.toml", run_arguments(tmp_path / "run", "--dry-run")
    others = '\n[tracking.mlflow]\nuri = "sqlite:///x.db"\n[tracking.wandb]\nproject = "mmft"\n'

    def chosen(*more: Any) -> tuple[dict[str, Any], str]:
        ended = mmft(*arguments, *more)
        assert ended.code == 0, ended.err
        return tomllib.loads(ended.out), ended.err

    file.write_text(f'[tracking]\nto = ["mlflow"]{others}')
    config, said = chosen("-c", file)
    assert config["callbacks"] == ["report/report", "trackers/mlflow"]
    assert config["callback"]["trackers/mlflow"]["uri"] == "sqlite:///x.db"
    assert said.count("trackers are callbacks now") == 1
    assert make_plan(config, discover()) == make_plan(
        {k: v for k, v in config.items() if k[:8] != "callback"}
        | {"tracking": {"to": ["mlflow"], "mlflow": {"uri": "sqlite:///x.db"}}},
        discover(),
    )
    file.write_text(f"[tracking]\nto = []{others}")
    config, said = chosen("-c", file)
    assert config["callbacks"] == ["report/report"] and not config["callback"]
    assert "callbacks" not in said
    config, _ = chosen("--set", "tracking.to=tensorboard", "--no-callback", "report")
    assert config["callbacks"] == ["trackers/tensorboard"]
    config, said = chosen("--track", "tensorboard", "--track", "mlflow", "-c", file)
    assert config["callback"]["trackers/mlflow"]["uri"] == "sqlite:///x.db"
    assert "--track is now called --callback" in said
    ended = mmft(*arguments, "--set", "tracking.to=tensorbord")
    assert ended.code == 2 and "Did you mean 'tensorboard'?" in ended.err


def test_a_resumed_run_of_version_0_1_is_contradicted_by_others_alone(tmp_path: Path) -> None:
    stored = {"task": {"name": "vision/image-cls"}, "tracking": {"to": ["mlflow"]}}
    stored["tracking"]["mlflow"] = {"uri": "x"}
    same = {"callbacks": ["report", "mlflow"], "callback": {"mlflow": {"uri": "x"}}}
    assert resumed_settings(tmp_path, stored, same, discover(), print) == stored
    with pytest.raises(MmftError, match="callbacks is"):
        resumed_settings(tmp_path, stored, {"callbacks": ["report"]}, discover(), print)


def test_parts_are_known_by_what_they_are_part_of(tmp_path: Path) -> None:
    runs = tmp_path / "sweeps"
    fold = runs / "tuned" / "trials" / "0003" / "fold-2"
    fold.mkdir(parents=True)
    (runs / "tuned" / "sweep.toml").touch()
    (fold.parent / "config.toml").touch()
    found = Identity.of(fold)
    assert (found.name, found.group) == ("tuned/trials/0003/fold-2", "tuned")
    assert found.store == runs
    alone = Identity.of(runs / "alone")
    assert (alone.name, alone.group, alone.store) == ("alone", None, runs)
