"""`mmft sweep`: trials, what is kept of them, going on after a kill, several at once."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mmft_core.contracts import MetricValue
from mmft_core.contracts.callbacks import Evaluated, TrainStart
from mmft_core.engine.evaluation import Evaluation
from mmft_core.errors import RunDirectoryError, TrainingError
from mmft_sweep.folder import SweepFolder
from mmft_sweep.jobs import Jobs
from mmft_sweep.trial import PruningCallback, TrialPrunedError, TrialRunner
from tests.conftest import Finished
from tests.faults.operations import die_after
from tests.faults.processes import Cli

Mmft = Callable[..., Finished]

pytestmark = pytest.mark.usefixtures("tiny_backbone")

VARY = ("--vary", "engine.lr=1e-5..1e-2:log", "--vary", "engine.batch_size=8,16")


def sweep_arguments(output: Path, *more: str | Path, vary: tuple[str, ...] = VARY) -> list[str]:
    """A sweep whose trials take half a second each."""
    settings = {
        "backbone.image_size": 32,
        "dataset.val": 0.06,
        "dataset.test": 0.02,
        "engine.workers": 0,
        "engine.steps": 4,
        "engine.eval_every": 2,
    }
    sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    names = ["sweep", "--task", "image-cls", "--backbone", "tiny", "--weights", "none"]
    return [*names, *sets, *vary, "-o", str(output), *map(str, more)]


def load(output: Path) -> dict[str, Any]:
    record = json.loads((output / "trials.json").read_text())
    assert isinstance(record, dict)
    return record


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A sweep of five trials that nothing disturbed, and what it printed."""
    folder = tmp_path_factory.mktemp("whole")
    process = Cli(sweep_arguments(folder / "sweep", "--trials", "5", "--seed", "3"), folder / "log")
    assert process.wait() == 0, process.text
    return folder / "sweep", process.text


def test_every_trial_is_recorded_and_the_best_is_kept(whole: tuple[Path, str]) -> None:
    output, text = whole
    record = load(output)
    assert [t["number"] for t in record["trials"]] == [0, 1, 2, 3, 4]
    assert {t["state"] for t in record["trials"]} == {"complete"}
    values = {t["number"]: t["value"] for t in record["trials"]}
    assert values[record["best"]] == max(values.values())
    for trial in record["trials"]:
        run = output / trial["folder"]
        results = json.loads((run / "results.json").read_text())
        assert results["metrics"]["val"]["accuracy"] == trial["value"]
        assert (run / "model").is_dir() == (trial["number"] == record["best"])
        config = tomllib.loads((run / "config.toml").read_text())
        assert config["engine"]["lr"] == trial["params"]["engine.lr"]
        assert config["engine"]["batch_size"] == trial["params"]["engine.batch_size"]
        assert len(trial["validations"]) == 2
    assert f"mmft run -c {output / 'best.toml'}" in text
    assert f"best accuracy {values[record['best']]:.4f} on val" in text
    assert set(record["importance"]) <= {"engine.lr", "engine.batch_size"}


def test_the_best_is_run_again_with_the_same_model(
    whole: tuple[Path, str], mmft: Mmft, tmp_path: Path
) -> None:
    output, _ = whole
    ended = mmft("run", "-c", output / "best.toml", "-o", tmp_path / "again")
    assert ended.code == 0, ended.err
    best = output / "trials" / f"{load(output)['best']:04d}"
    first, again = (p / "model" / "model.safetensors" for p in (best, tmp_path / "again"))
    assert first.read_bytes() == again.read_bytes()


def test_the_page_needs_nothing_else(whole: tuple[Path, str]) -> None:
    page = (whole[0] / "report.html").read_text()
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)
    assert page.count("<svg") == 4, "history, validations, and a slice for each setting"
    assert "engine.lr=" not in page.split("</svg>")[0]


def test_the_same_command_goes_on_and_another_is_refused(
    whole: tuple[Path, str], mmft: Mmft, tmp_path: Path
) -> None:
    output, _ = whole
    before = load(output)["trials"]
    ended = mmft(*sweep_arguments(output, "--seed", "3"))
    assert ended.code == 0 and "5 trials: 5 complete" in ended.out
    assert load(output)["trials"] == before, "all trials are done, so nothing is"
    vary = ("--vary", "engine.lr=1e-5..1e-3:log")
    ended = mmft(*sweep_arguments(output, "--seed", "3", vary=vary))
    assert ended.code == 2 and "holds another sweep: engine.lr varies over" in ended.err
    ended = mmft(*sweep_arguments(output, "--seed", "4"))
    assert ended.code == 2 and "engine.seed is 3 there and 4 on the command line" in ended.err
    ended = mmft("sweep", "--resume", output, "--seed", "4")
    assert ended.code == 2 and "engine.seed is 3 in" in ended.err
    ended = mmft("sweep", "--resume", output, *vary)
    assert ended.code == 2 and "holds another sweep" in ended.err
    (tmp_path / "notes.txt").write_text("mine")
    ended = mmft(*sweep_arguments(tmp_path))
    assert ended.code == 2 and "is not empty" in ended.err


def test_who_asks_for_fewer_trials_takes_none_from_others(whole: tuple[Path, str]) -> None:
    folder = SweepFolder(whole[0])
    stored = folder.read()
    assert folder.join(replace(stored, trials=2)).trials == stored.trials == 5
    assert folder.read() == stored
    assert folder.join(replace(stored, trials=7)).trials == folder.read().trials == 7
    folder.settings.unlink()
    assert folder.join(stored).trials == 5
    with pytest.raises(RunDirectoryError, match="another sweep"):
        folder.join(replace(stored, vary={"engine.lr": "1..2"}))


@pytest.mark.slow
def test_a_killed_trial_is_tried_again(whole: tuple[Path, str], tmp_path: Path) -> None:
    output, log = tmp_path / "sweep", tmp_path / "log"
    killed = partial(die_after, output / "trials" / "0001", 2)
    process = Cli(sweep_arguments(output, "--trials", "3", "--seed", "3"), log, killed)
    assert process.wait() == -signal.SIGKILL, process.text
    process = Cli(["sweep", "--resume", output], log)
    assert process.wait() == 0, process.text
    assert "Trial 2 (continues 1)" in process.text and "resuming at step 2 of 4" in process.text
    undisturbed, killed = (
        {t["params"]["engine.lr"]: t["value"] for t in load(o)["trials"]}
        for o in (whole[0], output)
    )
    assert len(killed) == 3
    chosen = [t["params"]["engine.lr"] for t in load(whole[0])["trials"]][:3]
    assert {lr: killed[lr] for lr in chosen} == {lr: undisturbed[lr] for lr in chosen}


@pytest.mark.slow
def test_a_signal_ends_cleanly(tmp_path: Path) -> None:
    output = tmp_path / "sweep"
    more = ("--trials", "2", "--set", "engine.steps=100000")
    process = Cli(sweep_arguments(output, *more), tmp_path / "log")
    process.wait_for(output / "trials" / "0000" / "checkpoints" / "step-2")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130, process.text
    assert "Resume with: mmft sweep --resume" in process.text and "Traceback" not in process.text


@pytest.mark.slow
def test_two_processes_share_a_study(tmp_path: Path) -> None:
    output = tmp_path / "sweep"
    call = sweep_arguments(output, "--trials", "5")
    first = Cli(call, tmp_path / "log-1")
    first.wait_for(output / "study.db")
    second = Cli(call, tmp_path / "log-2")
    codes = [process.wait() for process in (first, second)]
    texts = [process.text for process in (first, second)]
    assert codes == [0, 0], texts
    taken = [re.findall(r"^Trial (\d+): ", text, re.MULTILINE) for text in texts]
    assert all(taken), "both did some"
    assert sorted(taken[0] + taken[1]) == ["0", "1", "2", "3", "4"], "and none twice"
    trials = load(output)["trials"]
    assert len({t["params"]["engine.lr"] for t in trials}) == 5
    kept = [t["number"] for t in trials if (output / t["folder"] / "model").is_dir()]
    assert kept == [load(output)["best"]]


@pytest.mark.slow
def test_jobs_start_workers_and_say_what_became_of_them(
    tmp_path: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "sweep"
    enter = Jobs.__enter__

    def enter_and_wait(jobs: Jobs) -> Jobs:
        """This process could do all trials before the other one has started."""
        jobs, log, until = enter(jobs), jobs.folder.log(2), time.monotonic() + 240
        while "reached accuracy" not in log.read_text() and time.monotonic() < until:
            time.sleep(0.1)
        return jobs

    monkeypatch.setattr(Jobs, "__enter__", enter_and_wait)
    ended = mmft(*sweep_arguments(output, "--trials", "4", "--jobs", "2"))
    assert ended.code == 0, ended.err
    assert "reached accuracy" in (output / "workers" / "2.log").read_text()
    assert [t["state"] for t in load(output)["trials"]] == ["complete"] * 4


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "was killed by SIGKILL (memory may have run out)"),
        ("sys.exit(130)", "was asked to stop"),
    ],
)
def test_a_worker_that_is_killed_does_not_stop_the_others(
    tmp_path: Path, ending: str, told: str
) -> None:
    said: list[str] = []
    jobs = Jobs(SweepFolder(tmp_path), 2, None, said.append)
    last_words = "print('Trial 1 reached accuracy 0.5.', flush=True)"
    jobs.command = [sys.executable, "-c", f"import os, signal, sys; {last_words}; {ending}"]
    with jobs:
        jobs.wait()
    log = tmp_path / "workers" / "2.log"
    assert said == [f"A sweep worker {told}; the others continue. Its log: {log}"]


def test_a_worker_that_meets_an_error_ends_the_sweep(tmp_path: Path) -> None:
    jobs = Jobs(SweepFolder(tmp_path), 2, None, print)
    error = "print('error: No space is left.'); print('       Make room.'); sys.exit(2)"
    jobs.command = [sys.executable, "-c", f"import sys; {error}"]
    with jobs, pytest.raises(TrainingError, match="A sweep worker has ended: No space is"):
        jobs.wait()


def test_a_finite_space_is_searched_once(tmp_path: Path, mmft: Mmft) -> None:
    output = tmp_path / "sweep"
    vary = ("--vary", "engine.batch_size=8,16", "--vary", "engine.lr=0.001..0.002:0.001")
    call = sweep_arguments(output, "--trials", "9", "--keep", "all", "--pruner", "none", vary=vary)
    ended = mmft(*call, "--set", "engine.steps=1")
    assert ended.code == 0, ended.err
    trials = load(output)["trials"]
    assert len(trials) == 4
    assert len({tuple(t["params"].values()) for t in trials}) == 4
    assert all((output / t["folder"] / "model").is_dir() for t in trials)


def test_each_trial_may_be_cross_validated(
    tmp_path: Path, mmft: Mmft, photo_folder: Callable
) -> None:
    output = tmp_path / "sweep"
    more = ("--trials", "1", "--folds", "2", "--dataset", photo_folder(per_class=24))
    ended = mmft(*sweep_arguments(output, *more))
    assert ended.code == 0, ended.err
    (trial,) = load(output)["trials"]
    folds = json.loads((output / trial["folder"] / "folds.json").read_text())
    assert trial["value"] == folds["figures"]["val"]["accuracy"]["mean"]
    assert list(trial["validations"]) == ["1", "2", "3", "4"]
    assert tomllib.loads((output / "best.toml").read_text())["folds"] == 2


def test_failures_of_settings_are_recorded_and_mistakes_end_it(
    tmp_path: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, run = tmp_path / "sweep", TrialRunner.run

    def memory_is_short(self: TrialRunner, attempt: Any, plan: Any) -> float:
        if plan.engine.batch_size == 16:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return run(self, attempt, plan)

    monkeypatch.setattr(TrialRunner, "run", memory_is_short)
    call = sweep_arguments(output, "--trials", "2", vary=("--vary", "engine.batch_size=8,16"))
    ended = mmft(*call)
    assert ended.code == 0, ended.err
    states = {t["params"]["engine.batch_size"]: t for t in load(output)["trials"]}
    assert states[8]["state"] == "complete"
    assert (states[16]["state"], states[16]["reason"]) == ("failed", "Memory ran out.")
    assert "1 complete, 1 failed" in ended.out


def test_a_loss_that_is_no_number_fails_its_trial(tmp_path: Path, mmft: Mmft) -> None:
    output = tmp_path / "sweep"
    vary = ("--vary", "engine.lr=1e-3,1e30")
    call = sweep_arguments(output, "--trials", "2", "--set", "engine.optimizer=sgd", vary=vary)
    ended = mmft(*call, "--set", "engine.clip_norm=none", "--set", "engine.schedule=constant")
    assert ended.code == 0, ended.err
    states = {t["params"]["engine.lr"]: t for t in load(output)["trials"]}
    assert states[1e-3]["state"] == "complete"
    assert states[1e30]["state"] == "failed" and "loss became" in states[1e30]["reason"]


def test_bad_data_end_the_sweep(tmp_path: Path, mmft: Mmft, photo_folder: Callable) -> None:
    photos, output = photo_folder(), tmp_path / "sweep"
    (photos / "china" / "000.jpg").write_bytes(b"no picture")
    ended = mmft(*sweep_arguments(output, "--dataset", photos, "--trials", "3"))
    assert ended.code == 2 and "000.jpg" in ended.err and "Traceback" not in ended.err
    (photos / "china" / "000.jpg").unlink()
    ended = mmft("sweep", "--resume", output, "--trials", "1")
    assert ended.code == 0, ended.err
    assert "This command had --trials 1, but the sweep is for 3 in total." in ended.out
    assert [t["state"] for t in load(output)["trials"]] == ["complete"], "it did not count"


class Hopeless:
    """A trial as a pruner sees it."""

    def __init__(self) -> None:
        self.reports: list[tuple[float, int]] = []

    def report(self, value: float, step: int) -> None:
        self.reports.append((value, step))

    def should_prune(self) -> bool:
        return True


def test_a_pruned_trial_is_ended_at_a_validation_but_not_at_its_last(tmp_path: Path) -> None:
    trial = Hopeless()
    callback = PruningCallback(trial, "accuracy", tmp_path, ())  # type: ignore[arg-type]
    callback.on_train_start(
        TrainStart(
            step=0, total_steps=4, steps_per_epoch=2, samples=8, precision="fp32", device="cpu"
        )
    )

    def evaluated(step: int, split: str, values: dict[str, MetricValue]) -> Evaluated:
        evaluation = Evaluation(loss=1.0, values=values)
        return Evaluated(step=step, epoch=1, split=split, evaluation=evaluation, best=False)

    with pytest.raises(TrialPrunedError):
        callback.on_evaluation(evaluated(2, "val", {"accuracy": 0.25}))
    callback.on_evaluation(evaluated(4, "val", {"accuracy": 0.5}))
    callback.on_evaluation(evaluated(4, "test", {"accuracy": 0.75}))
    assert trial.reports == [(0.25, 1), (0.5, 2)]


def test_without_optuna_the_extra_is_named(tmp_path: Path) -> None:
    hidden = (
        "import sys, importlib.util as u; find = u.find_spec;"
        "u.find_spec = lambda n, *a: None if n == 'optuna' else find(n, *a);"
        "sys.modules['optuna'] = None;"
        "from mmft_core.cli import main; main(sys.argv[1:])"
    )
    call = [sys.executable, "-c", hidden, *sweep_arguments(tmp_path / "sweep")]
    ended = subprocess.run(call, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2 and "pip install 'mmft[sweep]'" in ended.stderr
    assert list(tmp_path.iterdir()) == []
