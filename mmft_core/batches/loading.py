"""From samples to batches, prepared in worker processes.

Nothing here has a state that a checkpoint would have to hold: which samples a step sees is in
`mmft_core.batches.windows`, and how a sample is augmented follows from (seed, epoch, index). So the
number of worker processes changes nothing, and neither does an interruption.
"""

from __future__ import annotations

import os
import random
import signal
import struct
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from mmft_core.batches.sized import pack
from mmft_core.batches.windows import EvaluationKeys, Key, TrainingKeys
from mmft_core.contracts import Batch, Processor, Sample, Split, TargetCodec, Tensors
from mmft_core.data.splits import Indices
from mmft_core.errors import DataError, SampleError, first_line

Loader: TypeAlias = "DataLoader[Any]"


UNDECODABLE = (OSError, ValueError, SyntaxError, EOFError, RuntimeError, struct.error)
"""What decoders raise on bytes that they cannot decode (PIL: SyntaxError too)."""


@dataclass(frozen=True, slots=True)
class PreparedSample:
    inputs: dict[str, Tensors]
    target: Any
    id: str


class Loaded(NamedTuple):
    """What became of one batch's samples.

    Attributes:
        batch: of those that could be read, None if there are none.
        results: for each sample in order its id, or what is wrong with it.
    """

    batch: Batch | None
    results: list[str | SampleError]


class PreparedSplit(Dataset[PreparedSample | SampleError]):
    """A split with its preprocessing, as worker processes see it.

    An unusable sample comes back as the error itself, for torch passes exceptions of worker
    processes on as text only.
    """

    def __init__(
        self,
        split: Split,
        processors: Mapping[str, Processor],
        codec: TargetCodec,
        *,
        train: bool,
        seed: int = 0,
    ) -> None:
        self.split = split
        self.processors = dict(processors)
        self.codec = codec
        self.train = train
        self.seed = seed

    @cached_property
    def sizes(self) -> Sequence[float] | None:
        """The samples' sizes, asked for once: a split may have to look at every file for them."""
        return self.split.sizes()

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, key: Key) -> PreparedSample | SampleError:
        epoch, index = key
        if self.train:
            seed_everything(self.seed, epoch, index)
        try:
            sample = self.split[index]
            return PreparedSample(self._inputs(sample), self._target(sample), sample.id)
        except SampleError as error:
            return error

    def _inputs(self, sample: Sample) -> dict[str, Tensors]:
        try:
            return {
                modality: processor.prepare(raw, train=self.train)
                for modality, processor in self.processors.items()
                if (raw := sample.inputs[modality]) is not None
            }
        except UNDECODABLE as error:
            raise SampleError(sample.id, f"cannot be decoded: {error}") from None

    def _target(self, sample: Sample) -> Any:
        if sample.target is None:
            return None
        try:
            return self.codec.encode(sample.target)
        except ValueError as error:
            raise SampleError(sample.id, str(error)) from None

    def collate(self, results: Sequence[PreparedSample | SampleError]) -> Loaded:
        samples = [r for r in results if isinstance(r, PreparedSample)]
        told = [r.id if isinstance(r, PreparedSample) else r for r in results]
        return Loaded(self._batch(samples) if samples else None, told)

    def _batch(self, samples: Sequence[PreparedSample]) -> Batch:
        targets = [s.target for s in samples]
        inputs: dict[str, Tensors] = {}
        present: Tensors = {}
        for modality, processor in self.processors.items():
            there = [s.inputs[modality] for s in samples if modality in s.inputs]
            if there:
                inputs[modality] = processor.collate(there)
            if len(there) < len(samples):
                present[modality] = torch.tensor([modality in s.inputs for s in samples])
        return Batch(
            inputs=inputs,
            targets=None if any(t is None for t in targets) else self.codec.collate(targets),
            ids=[s.id for s in samples],
            present=present,
        )


def training_loader(data: PreparedSplit, keys: TrainingKeys, *, workers: int, pin: bool) -> Loader:
    """Load the batches of a training in order."""
    return _loader(data, keys, workers, pin)


def evaluation_loader(
    data: PreparedSplit,
    batch_size: int,
    *,
    workers: int,
    pin: bool = False,
    rank: int = 0,
    world: int = 1,
    compares: bool = False,
    in_order: bool = True,
    batch_total: float | None = None,
) -> Loader:
    """Load every sample once; of several processes, each every world-th batch.

    Args:
        batch_size: of one process alone; several divide it among them.
        compares: whether samples of a batch are compared (see `Task.compares`): then batches are
            not divided, so that what they are compared with is the same.
        in_order: else samples of like sizes come together, the largest first.
        batch_total: what a batch holds at most, where samples have sizes (see
            `EngineConfig.batch_total`); in place of `batch_size`, or beside it if in order.
    """
    order: Indices = np.arange(len(data))
    sizes = data.sizes if batch_total is not None or not in_order else None
    if sizes is not None and not in_order:
        order = np.argsort(-np.asarray(sizes), kind="stable")
    parts = 1 if compares else world
    batch_size = -(-batch_size // parts)
    if sizes is None or batch_total is None:
        cuts = [slice(k, k + batch_size) for k in range(0, len(order), batch_size)]
    else:
        most = batch_size if in_order else None
        cuts = list(pack(np.asarray(sizes)[order], batch_total / parts, most))
    return _loader(data, EvaluationKeys(order, cuts[rank::world]), workers, pin)


def _loader(data: PreparedSplit, keys: Iterable[list[Key]], workers: int, pin: bool) -> Loader:
    return DataLoader(
        data,
        batch_sampler=keys,
        collate_fn=data.collate,
        num_workers=workers,
        pin_memory=pin,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_start_worker if workers else None,
    )


def batches(loader: Loader) -> Generator[Batch, None, None]:
    """Iterate a loader, raising what is wrong with a sample.

    Raises:
        SampleError: a sample is unusable.
        DataError: a process died.
    """
    for loaded in outcomes(loader):
        for result in loaded.results:
            if isinstance(result, SampleError):
                raise result
        assert loaded.batch is not None
        yield loaded.batch


def outcomes(loader: Loader) -> Generator[Loaded, None, None]:
    """Iterate a loader.

    Raises:
        DataError: a process died.
    """
    try:
        yield from _started(loader)
    except (RuntimeError, OSError, EOFError) as error:
        if not loader.num_workers or not _is_of_death(error):
            raise
        raise DataError(
            f"A process that loads data died: {first_line(error)}.",
            hint="It may have run out of memory; set engine.workers=0 to load data in the "
            "training process, and go on with --resume.",
        ) from error


def _is_of_death(error: BaseException) -> bool:
    """Whether a loader's error is that a process is gone, not one of the code that it runs."""
    text = first_line(error)
    if text.startswith("Caught") and "DataLoader worker" in text:
        return False
    # What a process handed over is fetched from it, which fails if it has died since.
    gone = isinstance(error, ConnectionError | EOFError | FileNotFoundError)
    return gone or text.startswith("DataLoader worker (pid")


def _started(loader: Loader) -> Iterator[Loaded]:
    """Start a loader's processes.

    torch installs a signal handler by which the death of one is raised wherever the training
    process happens to be, in the middle of writing a checkpoint too. Without it the loader finds
    out when it waits for that process.
    """
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        return iter(loader)
    before = signal.getsignal(signal.SIGCHLD)
    stream = iter(loader)
    signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)
    return stream


def _start_worker(_: int) -> None:
    # Ctrl-C, and a job scheduler's SIGTERM, reach the whole process group, but only the training
    # process is to act on them; workers end with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(1)


def choose_workers(wanted: int | None, processes: int = 1) -> int:
    """The number of worker processes: as asked, or by the cores that this process may use."""
    if wanted is not None:
        return wanted
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(0, min(8, (cores or 1) // (2 * processes)))


def seed_everything(*parts: int) -> None:
    """Seed torch, numpy and Python from a tuple of numbers."""
    words = np.random.SeedSequence(parts).generate_state(2)
    torch.manual_seed(int(words[0]))
    np.random.seed(int(words[1]))
    random.seed(int(words[0]))
