"""How a training computes: precision, threads and loading processes, chosen by timed steps.

The choice is saved with the run and used again when it is resumed, because another precision or
number of threads would add the same numbers in another order.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator

from mmft_core import cpus
from mmft_core.config.engine_config import EngineConfig
from mmft_core.contracts import Batch
from mmft_core.distributed import comm
from mmft_core.errors import ConfigError
from mmft_core.loading.batch_sampler import Key
from mmft_core.loading.loaders import choose_workers
from mmft_core.loading.prepared import seed_everything
from mmft_core.precision import Inference, cpu_computes_bf16
from mmft_core.utils.memory_errors import out_of_memory

if TYPE_CHECKING:
    from mmft_core.engine.loop import Engine

TIMED_FROM = 24
"""Steps of the shortest training that times some first, which takes about a tenth of it. With four
times as many steps more of them are timed, and with eight times as many also fewer threads."""
_SECONDS = 1.5
"""Seconds that a timed step may take; a batch that takes longer is timed in part."""
_TIMED = 2
"""Steps of each candidate that are timed, after one that is not; one in a short training."""
_FAR_BEHIND = 1.25
"""A candidate whose step takes this many times as long as the fastest's is not timed again."""
_WORTH_IT = 0.95
"""Another candidate is chosen only if it takes less than this share of the default's time."""
_FEW = 4
"""Samples in the trial steps that decide how many samples are timed."""
_NO_LOADING = 0.02
"""The share of a step up to which loading needs no process of its own."""


@dataclass
class Compute:
    """How a training computes.

    Attributes:
        device: its type.
        precision: of the forward pass: "fp32", "bf16" or "fp16".
        threads: CPU threads that compute.
        workers: processes that load data.
    """

    device: str
    precision: str
    threads: int
    workers: int

    @classmethod
    def of(
        cls, accelerator: Accelerator, config: EngineConfig, kept: Mapping[str, Any] | None
    ) -> Compute:
        """From the settings, or else from the record of the run, or else from the defaults.

        Args:
            kept: the `record` of the run when it was begun; it holds on a device of the same type.
        """
        device = accelerator.device.type
        begun = kept if kept is not None and kept["device"] == device else {}
        threads = config.threads or min(
            begun.get("threads", cpus.available()), torch.get_num_threads()
        )
        workers = begun.get("workers") if config.workers is None else config.workers
        return cls(
            device=device,
            precision=accelerator.mixed_precision.replace("no", "fp32"),
            threads=threads,
            workers=choose_workers(workers, comm.count()),
        )

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """The context of a forward pass, whatever context is around it."""
        if self.precision == "fp32":
            return torch.autocast(self.device, enabled=False)
        return Inference(torch.device(self.device), self.precision).autocast()

    @contextlib.contextmanager
    def limited(self) -> Iterator[None]:
        """Compute with no more threads than chosen."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def free_threads(self, config: EngineConfig) -> int:
        """The threads if they may become fewer, else 1: if their number is set, if several
        processes compute together, and on a GPU, whose steps are not over when they return."""
        told = config.threads is not None or "OMP_NUM_THREADS" in os.environ
        return 1 if told or self.device != "cpu" or comm.several() else self.threads

    def record(self) -> dict[str, Any]:
        return asdict(self)


def choose(engine: Engine) -> str | None:
    """Choose what the settings leave open for a new training on a CPU, by timed steps.

    Forward and backward passes of the first batch are timed in each precision, then, in longer
    trainings, with half of the threads in the fastest one; so is loading the batch. The model is
    left as it was. Very short trainings keep the defaults, because timing would take longer than it
    saves. A batch that takes long is timed in part, so that the training begins soon, and only with
    all threads, because it keeps them busy.

    Returns:
        What was measured and chosen, in a sentence; None if nothing was.
    """
    compute, config = engine.compute, engine.config
    if compute.device != "cpu" or comm.several() or engine.total_steps < TIMED_FROM:
        return None
    length = engine.total_steps / TIMED_FROM
    default = compute.precision, compute.threads
    candidates = [default]
    if config.precision == "auto" and cpu_computes_bf16():
        other = "fp32" if compute.precision == "bf16" else "bf16"
        candidates.append((other, compute.threads))
    fewer_threads = compute.free_threads(config) > 1 and length >= 8
    if len(candidates) == 1 and not fewer_threads:
        return None
    found: dict[tuple[str, int], float] = {}

    def time_step(candidate: tuple[str, int]) -> None:
        compute.precision, compute.threads = candidate
        fastest = min(found.values(), default=math.inf)
        found[candidate] = _time_step(engine, batch, _TIMED if length >= 4 else 1, fastest)

    try:
        with _unchanged(engine):
            first = _first_batch(engine, share=length / 2)
            if first is None:
                return None
            batch, loading, whole_batch = first
            for candidate in candidates:
                time_step(candidate)
            if fewer_threads and whole_batch:
                time_step((min(found, key=found.__getitem__)[0], default[1] // 2))
    except Exception as error:
        if not out_of_memory(error):
            raise
        return None  # Which training itself reports, with a batch that fits.
    finally:
        compute.precision, compute.threads = default

    def whole(candidate: tuple[str, int]) -> float:
        """Seconds from batch to batch."""
        workers = _workers(engine, found[candidate], loading)
        return _with_loading(found[candidate], loading, candidate[1], workers)

    best = min(found, key=whole)
    if whole(best) < _WORTH_IT * whole(default):
        compute.precision, compute.threads = best
    chosen = compute.precision, compute.threads
    compute.workers = _workers(engine, found[chosen], loading)
    timed = ", ".join(f"{p} with {_threads(t)} {s * 1000:,.0f} ms" for (p, t), s in found.items())
    workers = "1 process loads" if compute.workers == 1 else f"{compute.workers} processes load"
    return (
        f"Timed steps of {len(batch.ids)} samples: {timed}; loading them {loading * 1000:,.0f} ms. "
        f"Training computes in {compute.precision} with {_threads(compute.threads)}; "
        f"{workers if compute.workers else 'no other process loads'} data."
    )


def _first_batch(engine: Engine, share: float) -> tuple[Batch, float, bool] | None:
    """Load the first batch, or only part of it if a step with all of it would take too long.

    Args:
        share: the largest part of its samples to take.

    Returns:
        The batch, the seconds it took to load, and whether it is complete. None if it cannot be
        read, which training itself reports.
    """
    keys = max(engine.batch_sampler.micro_batches(0), key=len)
    few = keys[:_FEW]
    batch, loading = _load(engine, few)
    if batch is None:
        return None
    _step(engine, batch)  # The first takes longer.
    started = time.perf_counter()
    _step(engine, batch)
    seconds = time.perf_counter() - started
    count = max(_FEW, int(len(few) * _SECONDS / seconds))
    if 2 * count >= len(keys):  # A sample among many takes less time than one of few.
        count = len(keys)
    count = max(len(few), min(count, round(share * len(keys))))
    if count > len(few):
        batch, loading = _load(engine, keys[:count])
    return None if batch is None else (batch, loading, count == len(keys))


def _load(engine: Engine, keys: Sequence[Key]) -> tuple[Batch | None, float]:
    """A batch, and the seconds to load it."""
    started = time.perf_counter()
    batch = engine.train.collate([engine.train[key] for key in keys]).batch
    return batch, time.perf_counter() - started


@contextlib.contextmanager
def _unchanged(engine: Engine) -> Iterator[None]:
    """Take steps that leave no trace: no gradient, and statistics as they were."""
    state = engine.state
    kept = {name: buffer.clone() for name, buffer in state.trained.named_buffers()}
    state.train(0)
    try:
        yield
    finally:
        state.optimizer.zero_grad()  # Of a step that failed.
        with torch.no_grad():
            for name, buffer in state.trained.named_buffers():
                buffer.copy_(kept[name])


def _time_step(engine: Engine, batch: Batch, number: int, fastest: float) -> float:
    """Seconds of a forward and a backward pass.

    Args:
        number: of timed steps.
        fastest: seconds of the fastest candidate so far.
    """
    times: list[float] = []
    with engine.compute.limited():
        _step(engine, batch)
        while len(times) < number and min(times, default=0.0) <= _FAR_BEHIND * fastest:
            started = time.perf_counter()
            _step(engine, batch)
            times.append(time.perf_counter() - started)
    return statistics.median(times)


def _step(engine: Engine, batch: Batch) -> None:
    seed_everything(engine.config.seed, 0, 0, 0)
    engine.accelerator.backward(engine.state.parallel.loss(batch))
    engine.state.optimizer.zero_grad()


def _workers(engine: Engine, step: float, loading: float) -> int:
    """The processes needed to load as fast as steps are computed; 0 if loading takes no time."""
    if engine.config.workers is not None:
        return engine.config.workers
    if cpus.available() == 1 or loading < _NO_LOADING * step:
        return 0
    return max(1, min(8, cpus.available(), math.ceil(loading / step)))


def _with_loading(step: float, loading: float, threads: int, workers: int) -> float:
    """Seconds from batch to batch. If loading processes and computing threads together outnumber
    the CPUs, they take turns."""
    if not workers:
        return step + loading
    share = loading / workers
    return step + share if threads + workers > cpus.available() else max(step, share)


def _threads(number: int) -> str:
    return f"{number} thread{'s' if number > 1 else ''}"


def check_compiler(config: EngineConfig, device: torch.device) -> None:
    """Raises:
    ConfigError: `engine.compile` needs a C++ compiler that is not installed.
    """
    names = (os.environ.get("CXX", "c++"), "g++", "clang++")
    if config.compile and device.type == "cpu" and not any(map(shutil.which, names)):
        raise ConfigError(
            "engine.compile = true needs a C++ compiler, and none is installed.",
            hint="Install g++ (such as with `apt install g++`), or leave out engine.compile.",
        )
