"""How a training computes: what timed steps choose, and threads that follow the machine."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from mmft_core.config.engine_config import EngineConfig
from mmft_core.contracts import Batch
from mmft_core.engine import compute
from mmft_core.engine.thread_watch import ThreadWatch
from mmft_core.errors import ConfigError
from tests.engine.toy import Recorder, make_engine, same, weights

CONFIG = EngineConfig(steps=8 * compute.TIMED_FROM, workers=0, device="cpu")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A machine of four CPUs on which steps take what the test says."""

    def build(times: dict[tuple[str, int], float]) -> None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        monkeypatch.setattr(compute.cpus, "available", lambda: 4)
        monkeypatch.setattr(compute, "cpu_computes_bf16", lambda: True)
        monkeypatch.setattr("mmft_core.precision.bf16_speedup", lambda: 1.0)
        monkeypatch.setattr(
            compute, "_time_step", lambda e, *_: times[e.compute.precision, e.compute.threads]
        )

    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield build
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("fastest", "expected"),
    [(("bf16", 4), ("bf16", 4)), (("bf16", 2), ("bf16", 2)), (("fp32", 2), ("fp32", 2))],
)
def test_the_fastest_is_chosen(
    tmp_path: Path, machine: Any, fastest: tuple[str, int], expected: tuple[str, int]
) -> None:
    times = {(p, t): 0.9 if p == fastest[0] else 1.0 for p in ("fp32", "bf16") for t in (4, 2)}
    machine(times | {fastest: 0.5})
    engine = make_engine(tmp_path, CONFIG)
    said = compute.choose(engine)
    assert (engine.compute.precision, engine.compute.threads) == expected
    assert said is not None and f"{expected[0]} with {expected[1]} threads 500 ms" in said
    later = compute.Compute.of(engine.accelerator, CONFIG, engine.compute.record())
    assert later.threads == expected[1]


def test_the_default_is_kept_where_nothing_is_much_faster(tmp_path: Path, machine: Any) -> None:
    machine({("fp32", 4): 1.0, ("fp32", 2): 0.97, ("bf16", 4): 0.98, ("bf16", 2): 0.99})
    engine = make_engine(tmp_path, CONFIG)
    compute.choose(engine)
    assert (engine.compute.precision, engine.compute.threads) == ("fp32", 4)


def test_what_is_asked_for_and_short_trainings_are_not_timed(tmp_path: Path, machine: Any) -> None:
    machine({})
    asked = EngineConfig(steps=CONFIG.steps, workers=0, device="cpu", precision="fp32", threads=3)
    engine = make_engine(tmp_path, asked)
    assert compute.choose(engine) is None and engine.compute.threads == 3
    short = EngineConfig(steps=compute.TIMED_FROM - 1, workers=0, device="cpu")
    assert compute.choose(make_engine(tmp_path, short)) is None


def test_a_training_of_some_length_times_precisions_alone(tmp_path: Path, machine: Any) -> None:
    machine({("fp32", 4): 1.0, ("bf16", 4): 0.5})
    engine = make_engine(tmp_path, EngineConfig(steps=compute.TIMED_FROM, workers=0, device="cpu"))
    said = compute.choose(engine)
    assert said is not None and engine.compute.precision == "bf16"


def test_processes_that_load_keep_up_and_count_as_cpus(tmp_path: Path, machine: Any) -> None:
    machine({(p, t): 1.0 for p in ("fp32", "bf16") for t in (4, 2)})
    engine = make_engine(tmp_path, EngineConfig(steps=compute.TIMED_FROM, device="cpu"))
    assert compute._workers(engine, step=1.0, loading=0.01) == 0
    assert compute._workers(engine, step=1.0, loading=0.9) == 1
    assert compute._workers(engine, step=1.0, loading=2.5) == 3
    assert compute._with_loading(1.0, 0.5, threads=3, workers=1) == 1.0
    assert compute._with_loading(1.0, 0.5, threads=4, workers=1) == 1.5


def test_timing_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "TIMED_FROM", 1)
    monkeypatch.setattr(compute, "cpu_computes_bf16", lambda: True)
    monkeypatch.setattr(compute, "_WORTH_IT", 0.0)  # Never.
    config = EngineConfig(steps=6, workers=0, device="cpu")
    timed, plain = make_engine(tmp_path / "a", config), make_engine(tmp_path / "b", config)
    before = weights(timed)
    assert compute.choose(timed) is not None
    assert same(weights(timed), before)
    timed.fit()
    plain.fit()
    assert same(weights(timed), weights(plain))


@pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")
def test_compiled_steps_have_the_same_losses(tmp_path: Path) -> None:
    losses = []
    for compiled in (False, True):
        recorder = Recorder()
        config = EngineConfig(
            steps=3, workers=0, device="cpu", precision="fp32", log_every=1, compile=compiled
        )
        make_engine(tmp_path / str(compiled), config, callback=recorder).fit()
        losses.append([step.loss for step in recorder.steps])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5) and losses[0][0] != losses[0][2]


def test_a_compiler_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute.shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match="needs a C\\+\\+ compiler"):
        make_engine(tmp_path, EngineConfig(steps=1, device="cpu", compile=True))


class Machine:
    """Steps of a training beside others, in times that are computed and not measured."""

    def __init__(self, threads: int = 2) -> None:
        self.messages: list[str] = []
        self.watch = ThreadWatch(threads, self.messages.append)
        self.disturbed = False

    def steps(self, number: int, size: int = 10) -> None:
        batch = Batch(
            inputs={"point": {"values": torch.zeros(size, 2)}}, targets=None, ids=("",) * size
        )
        for _ in range(number):
            alone = 0.01 * size * (1.0 if self.watch.now == 2 else 1.4)
            seconds = alone * ({2: 30.0, 1: 1.5}[self.watch.now] if self.disturbed else 1.0)
            self.watch.follow(seconds, [batch])


@pytest.fixture
def watched() -> Any:
    before = torch.get_num_threads()
    yield Machine()
    torch.set_num_threads(before)


def test_threads_follow_the_machine(watched: Machine) -> None:
    watched.steps(100)
    assert watched.watch.now == 2 and not watched.messages
    watched.disturbed = True
    watched.steps(20)
    assert watched.watch.now == torch.get_num_threads() == 1
    assert "with 1 thread instead of 2" in watched.messages[0]
    watched.steps(2000)
    assert watched.watch.now == 1, "all threads were tried again, and were no better"
    watched.disturbed = False
    watched.steps(6000)
    assert watched.watch.now == torch.get_num_threads() == 2
    assert watched.messages[1:] == ["Training computes with 2 threads again."]


def test_larger_batches_are_no_disturbance(watched: Machine) -> None:
    watched.steps(100)
    watched.steps(100, size=80)
    watched.steps(100, size=10)
    assert watched.watch.now == 2 and not watched.messages


def test_the_threads_of_a_gpu_and_those_that_are_told_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    of = {d: compute.Compute(d, "fp32", threads=4, workers=0) for d in ("cpu", "cuda")}
    assert of["cpu"].free_threads(EngineConfig()) == 4
    assert of["cuda"].free_threads(EngineConfig()) == 1
    assert of["cpu"].free_threads(EngineConfig(threads=4)) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert of["cpu"].free_threads(EngineConfig()) == 1


def test_one_thread_leaves_nothing_to_follow() -> None:
    machine = Machine(threads=1)
    machine.disturbed = True
    machine.steps(100)
    assert machine.watch.now == 1 and not machine.messages
