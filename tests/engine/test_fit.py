"""The loop: what each setting of the engine does, on a task that trains in milliseconds."""

from __future__ import annotations

import math
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mmft_core.config.engine_config import EngineConfig
from mmft_core.contracts import SampleMean
from mmft_core.contracts.callbacks import Callback, TrainStep
from mmft_core.distributed.signals import STOP_SIGNALS
from mmft_core.engine.loop import Engine
from mmft_core.errors import CheckpointError, ConfigError, NonFiniteLossError
from mmft_core.loading.prepared import PreparedSplit
from mmft_core.loading.sampler_choice import choose_batch_sampler
from tests.engine.toy import (
    CLASSES,
    OPTIMIZERS,
    SCHEDULES,
    Classification,
    Layered,
    Points,
    Recorder,
    make_engine,
    same,
    weights,
)

FAST = EngineConfig(epochs=4, batch_size=10, lr=0.02, precision="fp32", workers=0)


def test_it_learns(tmp_path: Path) -> None:
    callback = Recorder()
    outcome = make_engine(tmp_path, replace(FAST, epochs=30), callback=callback).fit()
    assert outcome.ending == "finished"
    assert outcome.progress.best is not None and outcome.progress.best >= 0.9
    assert len(callback.evaluations) == 30
    losses = [e.evaluation.loss for e in callback.evaluations]
    assert losses[-1] < losses[0] / 1.5


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    runs = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        engine = make_engine(tmp_path / name, replace(FAST, seed=seed))
        engine.fit()
        runs.append(weights(engine))
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_the_number_of_workers_changes_nothing(tmp_path: Path, workers: int) -> None:
    alone, helped = (
        make_engine(tmp_path / "a", FAST),
        make_engine(tmp_path / "b", replace(FAST, workers=workers)),
    )
    alone.fit()
    helped.fit()
    assert same(weights(alone), weights(helped))


def test_accumulation_equals_the_larger_batch(tmp_path: Path) -> None:
    """Without batch norm's statistics and dropout, two passes of 5 are one of 10."""
    results = []
    for name, size, passes in (("a", 10, 1), ("b", 5, 2)):
        config = replace(FAST, batch_size=size, gradient_accumulation_steps=passes, epochs=2)
        engine = make_engine(tmp_path / name, config)
        for module in engine.state.task.modules():
            if isinstance(module, torch.nn.BatchNorm1d | torch.nn.Dropout):
                module.train = lambda mode=True, m=module: m  # type: ignore[method-assign]
                module.training = False
        engine.fit()
        results.append(weights(engine))
    for key, value in results[0].items():
        torch.testing.assert_close(value, results[1][key], rtol=1e-4, atol=1e-5)


def test_steps_take_the_place_of_epochs(tmp_path: Path) -> None:
    outcome = make_engine(tmp_path, replace(FAST, steps=7)).fit()
    assert (outcome.progress.step, outcome.total_steps) == (7, 7)


def test_what_is_waited_for_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmft_core.loading.prepared import PreparedSplit

    load = PreparedSplit.__getitem__

    def slowly(self: PreparedSplit, key: tuple[int, int]) -> Any:
        time.sleep(0.01)
        return load(self, key)

    monkeypatch.setattr(PreparedSplit, "__getitem__", slowly)
    callback = Recorder()
    progress = make_engine(tmp_path, replace(FAST, steps=5), callback=callback).fit().progress
    assert 0.01 * progress.samples <= progress.waited < progress.seconds
    assert 0 < callback.steps[0].waited < callback.steps[-1].waited == progress.waited


def test_the_rate_that_is_told_is_that_of_the_setting(tmp_path: Path) -> None:
    """Not that of the head, which may learn at another."""
    callback = Recorder()
    config = replace(FAST, steps=4, lr=0.1, head_lr=0.02, schedule="linear", warmup=0.0)
    make_engine(tmp_path, config, callback=callback).fit()
    assert [e.lr for e in callback.steps] == pytest.approx([0.1, 0.075, 0.05, 0.025])


@pytest.mark.parametrize(("size", "enough"), [(1, 2), (2, 3)])
def test_a_loss_that_compares_samples_is_given_no_pass_of_fewer(size: int, enough: int) -> None:
    task = Classification("point", Layered(), CLASSES)
    task.minimum_batch_size = 2
    points = PreparedSplit(Points(51, 1), task.processors, task.codec, train=True)
    with pytest.raises(ConfigError, match=f"of 1 is too small.*--batch-size {enough} or more"):
        choose_batch_sampler(points, task, replace(FAST, batch_size=size))
    assert choose_batch_sampler(points, task, replace(FAST, batch_size=3)).smallest_pass() >= 2


def test_evaluation_every_n_steps_and_at_the_end(tmp_path: Path) -> None:
    callback = Recorder()
    make_engine(tmp_path, replace(FAST, steps=7, eval_every=3), callback=callback).fit()
    assert [e.step for e in callback.evaluations] == [3, 6, 7]


def test_without_val_checkpoints_are_written_where_an_evaluation_would_be_due(
    tmp_path: Path,
) -> None:
    config = replace(FAST, steps=5, eval_every=2)
    make_engine(tmp_path, config, val=False).fit()
    resumed = make_engine(tmp_path, config, val=False)
    resumed.state.restore(tmp_path)
    assert resumed.state.progress.step == 4


def test_the_first_step_counts_its_own_samples_and_time(tmp_path: Path) -> None:
    callback = Recorder()
    make_engine(tmp_path, replace(FAST, steps=2, batch_size=10), callback=callback).fit()
    assert [event.samples for event in callback.steps] == [10, 20]
    assert callback.steps[0].seconds > 0


def test_metrics_are_of_some_samples_and_the_loss_of_all(tmp_path: Path) -> None:
    """The same ones at each evaluation, and in a run that is resumed."""
    wholly, partly, again = Recorder(), Recorder(), Recorder()
    config = replace(FAST, steps=8, eval_every=4)
    engine = make_engine(tmp_path / "a", config, callback=wholly)
    engine.fit()
    assert engine.val is not None and engine.monitored_samples == len(engine.val) > 7
    some = make_engine(tmp_path / "b", replace(config, eval_samples=7), callback=partly)
    some.fit()
    assert some.monitored_samples == 7
    assert same(weights(engine), weights(some))
    for one, other in zip(wholly.evaluations, partly.evaluations, strict=True):
        assert (other.evaluation.samples, other.evaluation.measured) == (len(engine.val), 7)
        assert one.evaluation.measured == len(engine.val)
        assert other.evaluation.loss == pytest.approx(one.evaluation.loss, rel=1e-6)
        assert other.evaluation.values["accuracy"] * 7 == pytest.approx(
            round(other.evaluation.values["accuracy"] * 7)
        )
    assert f"on 7 of {len(engine.val)} val samples (engine.eval_samples)" in partly.remarks[-1]
    config = replace(config, eval_samples=7)
    stopped = make_engine(tmp_path / "c", config, callback=StopAt(5, signal.SIGINT))
    assert stopped.fit().ending == "interrupted"
    make_engine(tmp_path / "c", config, callback=again).fit(resume=True)
    values = [[e.evaluation.record for e in r.evaluations] for r in (partly, again)]
    assert values[0][1:] == values[1]
    assert wholly.remarks == []


def test_the_best_weights_are_kept(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    callback = Recorder()
    engine = make_engine(tmp_path, replace(FAST, epochs=12, lr=0.3), callback=callback)
    outcome = engine.fit()
    values = [e.evaluation.defined_scalars["accuracy"] for e in callback.evaluations]
    tied = [e for e in callback.evaluations if e.evaluation.scalar("accuracy") == max(values)]
    assert outcome.progress.best_step == min(tied, key=lambda e: e.evaluation.loss).step
    assert [e.best for e in callback.evaluations].count(True) >= 1
    engine.state.task.load_state_dict(load_file(outcome.best_weights))
    assert engine.val is not None
    again = engine.evaluate(engine.val, "val")
    assert again.defined_scalars["accuracy"] == max(values)


class Constant(SampleMean):
    """A metric by which all models are equally good."""

    def scores(self, predictions: Any, targets: Any) -> list[float]:
        return [1.0] * len(predictions)


def test_of_equal_steps_the_one_with_the_lowest_loss_is_kept_in_a_resumed_run_too(
    tmp_path: Path,
) -> None:
    callback, config = Recorder(), replace(FAST, epochs=12, lr=0.1)

    def equal(folder: str, callback: Callback) -> Engine:
        engine = make_engine(tmp_path / folder, config, callback=callback)
        engine.metrics = {"accuracy": Constant()}
        return engine

    whole = equal("whole", callback).fit().progress
    losses = {e.step: e.evaluation.loss for e in callback.evaluations}
    assert whole.best_step == min(losses, key=losses.__getitem__) > 5
    assert whole.evaluations_since_best == len(losses) - 1  # Patience goes by the metric alone.
    assert equal("cut", StopAt(whole.best_step + 2, signal.SIGINT)).fit().ending == "interrupted"
    resumed = equal("cut", Recorder()).fit(resume=True).progress
    assert (resumed.best_step, resumed.best_loss) == (whole.best_step, whole.best_loss)


def test_patience_stops_early(tmp_path: Path) -> None:
    outcome = make_engine(tmp_path, replace(FAST, epochs=200, patience=3)).fit()
    assert outcome.ending == "early"
    assert outcome.progress.step < 1000
    assert outcome.progress.evaluations_since_best == 3


def test_loss_as_monitor_is_better_when_lower(tmp_path: Path) -> None:
    callback = Recorder()
    outcome = make_engine(tmp_path, FAST, callback=callback, monitor="loss").fit()
    assert outcome.progress.best == min(e.evaluation.loss for e in callback.evaluations)


def test_an_unknown_monitor_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="acuracy.*Did you mean 'accuracy'"):
        make_engine(tmp_path, FAST, monitor="acuracy").fit()


def test_a_non_finite_loss_names_step_and_samples(tmp_path: Path) -> None:
    engine = make_engine(tmp_path, FAST, poison=17)
    with pytest.raises(NonFiniteLossError) as caught:
        engine.fit()
    assert "point 17" in caught.value.sample_ids
    assert f"step {caught.value.step}" in str(caught.value)
    assert all(torch.isfinite(v).all() for k, v in weights(engine).items() if "running" not in k)


def test_clipping_bounds_the_gradient(tmp_path: Path) -> None:
    seen: list[float] = []
    engine = make_engine(tmp_path, replace(FAST, clip_norm=1e-3, steps=3))
    update = engine.state.optimizer.step

    def spy() -> None:
        grads = [p.grad for p in engine.state.task.parameters() if p.grad is not None]
        seen.append(math.sqrt(sum(float((g**2).sum()) for g in grads)))
        update()

    engine.state.optimizer.step = spy
    engine.fit()
    assert len(seen) == 3 and all(norm <= 1.01e-3 for norm in seen)


def test_ema_is_what_is_judged_and_differs_from_the_last_weights(tmp_path: Path) -> None:
    engine = make_engine(tmp_path, replace(FAST, ema=0.9))
    engine.fit()
    assert engine.state.eval_model is not engine.state.task
    assert not same(weights(engine), engine.state.task.state_dict())


class StopAt(Recorder):
    """Sends a signal to this process after a step."""

    def __init__(self, step: int, number: signal.Signals) -> None:
        super().__init__()
        self.at, self.number = step, number

    def on_step(self, event: TrainStep) -> None:
        super().on_step(event)
        if event.step == self.at:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", STOP_SIGNALS)
@pytest.mark.parametrize("step", [3, 5])
def test_a_signal_writes_a_checkpoint_from_which_training_ends_the_same(
    tmp_path: Path, number: signal.Signals, step: int
) -> None:
    config = replace(FAST, ema=0.9)
    whole = make_engine(tmp_path / "whole", config)
    whole.fit()
    before = signal.signal(number, signal.SIG_DFL)  # Under nohup, a closed terminal is ignored.
    try:
        outcome = make_engine(tmp_path / "cut", config, callback=StopAt(step, number)).fit()
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert outcome.ending == "interrupted" and outcome.progress.step == step
    resumed = make_engine(tmp_path / "cut", config)
    assert resumed.fit(resume=True).ending == "finished"
    assert same(weights(whole), weights(resumed))


def test_a_closed_terminal_is_ignored_under_nohup(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        outcome = make_engine(tmp_path, FAST, callback=StopAt(3, signal.SIGHUP)).fit()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert outcome.ending == "finished"


@pytest.mark.parametrize(
    ("optimizer", "schedule"),
    [*((name, "cosine") for name in OPTIMIZERS), *(("adamw", name) for name in SCHEDULES)],
)
def test_resuming_is_exact_for_every_optimizer_and_schedule(
    tmp_path: Path, optimizer: Any, schedule: Any
) -> None:
    config = replace(FAST, optimizer=optimizer, schedule=schedule, checkpoint_every=1)
    whole = make_engine(tmp_path / "whole", config)
    whole.fit()
    make_engine(tmp_path / "cut", config, callback=StopAt(8, signal.SIGTERM)).fit()
    resumed = make_engine(tmp_path / "cut", config)
    resumed.fit(resume=True)
    assert same(weights(whole), weights(resumed))


def test_resuming_from_a_damaged_checkpoint_takes_the_one_before(tmp_path: Path) -> None:
    config = replace(FAST, checkpoint_every=2)
    whole = make_engine(tmp_path / "whole", config)
    whole.fit()
    make_engine(tmp_path / "cut", config, callback=StopAt(7, signal.SIGTERM)).fit()
    tensors = tmp_path / "cut" / "step-7" / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-10])
    callback = Recorder()
    resumed = make_engine(tmp_path / "cut", config, callback=callback)
    resumed.fit(resume=True)
    assert "step 7 is damaged" in callback.remarks[0]
    assert callback.steps[0].step == 7
    assert same(weights(whole), weights(resumed))


def test_nothing_to_resume_from_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no usable checkpoint"):
        make_engine(tmp_path, FAST).fit(resume=True)
