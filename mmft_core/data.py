"""From samples to batches: what is read when, as a pure function of the seed and the step.

Nothing here has a state that a checkpoint would have to hold. The order of an epoch follows from
(seed, epoch), the augmentation of a sample from (seed, epoch, index), and the position in the
data from the number of the optimizer step. A resumed run therefore starts at any step without
replaying data, and does the same with any number of worker processes.
"""

from __future__ import annotations

import os
import random
import signal
import struct
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from mmft_core.contracts import Batch, Processor, Sample, Split, TargetCodec, Tensors
from mmft_core.errors import DataError, SampleError

Key: TypeAlias = tuple[int, int]
"""(epoch, index): says which sample, and which augmentation of it."""

Loader: TypeAlias = "DataLoader[Any]"

EVALUATION = 0  # the epoch of keys that are not for training


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
                modality: processor.prepare(sample.inputs[modality], train=self.train)
                for modality, processor in self.processors.items()
            }
        except (OSError, ValueError, SyntaxError, EOFError, RuntimeError, struct.error) as error:
            # What decoders raise on bytes that they cannot decode (PIL: SyntaxError too).
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
        outcomes = [r.id if isinstance(r, PreparedSample) else r for r in results]
        return Loaded(self._batch(samples) if samples else None, outcomes)

    def _batch(self, samples: Sequence[PreparedSample]) -> Batch:
        targets = [s.target for s in samples]
        return Batch(
            inputs={
                modality: processor.collate([s.inputs[modality] for s in samples])
                for modality, processor in self.processors.items()
            },
            targets=None if any(t is None for t in targets) else self.codec.collate(targets),
            ids=[s.id for s in samples],
        )


class Windows:
    """Which samples each optimizer step sees.

    An epoch's random order is cut into windows of `batch_size * accumulate` samples, one window
    for each step, and a window into forward passes. The cuts are even, so that no epoch ends on a
    tiny batch and none of its samples is left out. Of each forward pass, process `rank` of `world`
    takes every world-th sample.
    """

    def __init__(
        self, size: int, batch_size: int, accumulate: int, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        if size == 0:
            raise DataError("The training split is empty.")
        self.size, self.seed, self.rank, self.world = size, seed, rank, world
        self.batch_size = batch_size
        self.steps_per_epoch = -(-size // (batch_size * accumulate))

    def epoch_of(self, step: int) -> int:
        return step // self.steps_per_epoch

    def window_size(self, step: int) -> int:
        """How many samples a step sees, on all processes together."""
        window = _cut(self.size, self.steps_per_epoch, step % self.steps_per_epoch)
        return int(window.stop - window.start)

    def passes(self, step: int) -> int:
        """How many forward passes a step takes."""
        return -(-self.window_size(step) // self.batch_size)

    def micro_batches(self, step: int) -> list[list[Key]]:
        """This process's share of each forward pass of a step, which counts from 0."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = _order(self.size, self.seed, epoch)[_cut(self.size, self.steps_per_epoch, position)]
        passes = self.passes(step)
        return [
            [(epoch, int(i)) for i in order[_cut(len(order), passes, k)][self.rank :: self.world]]
            for k in range(passes)
        ]


class TrainingKeys:
    """The batch sampler of a whole training, from its first step to its last.

    One pass over all epochs keeps worker processes busy across the ends of epochs.
    """

    def __init__(self, windows: Windows, first_step: int, last_step: int) -> None:
        self.windows, self.first_step, self.last_step = windows, first_step, last_step

    def __iter__(self) -> Iterator[list[Key]]:
        for step in range(self.first_step, self.last_step):
            yield from self.windows.micro_batches(step)


class EvaluationKeys:
    """The batch sampler of an evaluation: every index once, in order."""

    def __init__(self, indices: range, batch_size: int) -> None:
        self.indices, self.batch_size = indices, batch_size

    def __iter__(self) -> Iterator[list[Key]]:
        for start in range(0, len(self.indices), self.batch_size):
            yield [(EVALUATION, i) for i in self.indices[start : start + self.batch_size]]


def _cut(size: int, pieces: int, k: int) -> slice:
    """The k-th of `pieces` even cuts of `size` things."""
    return slice(size * k // pieces, size * (k + 1) // pieces)


@lru_cache(maxsize=2)
def _order(size: int, seed: int, epoch: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.random.default_rng((seed, epoch)).permutation(size)


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
) -> Loader:
    """Load every sample once and in order; of several processes, each every world-th."""
    return _loader(data, EvaluationKeys(range(rank, len(data), world), batch_size), workers, pin)


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
    """Iterate a loader, raising what went wrong in its processes.

    Raises:
        SampleError: a sample is unusable.
        DataError: a process died.
    """
    try:
        for loaded in loader:
            for result in loaded.results:
                if isinstance(result, SampleError):
                    raise result
            yield loaded.batch
    except RuntimeError as error:
        if "DataLoader worker" in str(error):
            raise DataError(
                f"A process that loads data died: {str(error).splitlines()[0]}",
                hint="It may have run out of memory; set engine.workers=0 to load data in the "
                "training process, and go on with --resume.",
            ) from error
        raise


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
