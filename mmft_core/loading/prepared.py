"""Samples as tensors: prepared one by one and collated into batches.

Augmentation follows from (seed, epoch, index), so no random generator has a state to be saved.
"""

from __future__ import annotations

import copy
import random
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from mmft_core.contracts import (
    Batch,
    JointPreparation,
    Processor,
    Sample,
    Split,
    TargetCodec,
    Tensors,
)
from mmft_core.contracts.returned import inputs_of
from mmft_core.data.splits import Indices, Subset, of_each
from mmft_core.errors import SampleError
from mmft_core.loading.batch_sampler import Key
from mmft_core.loading.lengths import measure
from mmft_core.utils.memory_errors import out_of_memory

UNDECODABLE = (OSError, ValueError, SyntaxError, EOFError, RuntimeError, struct.error)
"""What decoders raise on bytes that they cannot decode (PIL: SyntaxError too)."""


@dataclass(frozen=True, slots=True)
class PreparedSample:
    inputs: dict[str, Tensors]
    target: Any
    id: str
    kind: str = ""


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

    An unusable sample comes back as the error itself, because torch passes exceptions of worker
    processes on only as text.
    """

    def __init__(
        self,
        split: Split,
        processors: Mapping[str, Processor],
        codec: TargetCodec,
        *,
        train: bool,
        seed: int = 0,
        partial: bool = True,
    ) -> None:
        """Args:
        partial: whether samples may lack some of the inputs.
        """
        self.split = split
        self.processors = dict(processors)
        self.codec = codec if train else codec.for_evaluation()
        # Checked once: isinstance with a protocol takes as long as preparing a small picture.
        self._joint = self.codec if isinstance(self.codec, JointPreparation) else None
        self.train = train
        self.seed = seed
        self.partial = partial

    def some(self, indices: Indices) -> PreparedSplit:
        """Some of its samples, with the same preprocessing."""
        found = copy.copy(self)
        found.split = Subset(self.split, indices)
        found.__dict__.pop("sizes", None)
        found.__dict__.pop("lengths", None)
        return found

    @cached_property
    def sizes(self) -> Sequence[float] | None:
        """The samples' sizes, asked for once: a split may have to look at every file for them."""
        return of_each(self.split, "sizes")

    @cached_property
    def lengths(self) -> Sequence[float] | None:
        """How long samples are when they are prepared, measured once."""
        return measure(self.split, self.processors, self.codec)

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, key: Key) -> PreparedSample | SampleError:
        epoch, index = key
        if self.train:
            seed_processors(self.seed, epoch, index)
        try:
            sample = self.split[index]
            if self._joint is not None:
                together = self._together(sample, self._joint)
                return PreparedSample(*together, sample.id, sample.kind)
            inputs, target = self._inputs(sample), self._target(sample)
            return PreparedSample(inputs, target, sample.id, sample.kind)
        except SampleError as error:
            return error

    def _together(self, sample: Sample, codec: JointPreparation) -> tuple[dict[str, Tensors], Any]:
        held = inputs_of(sample, self.processors, partial=self.partial)
        try:
            inputs, target = codec.prepare(held, sample.target, train=self.train)
        except UNDECODABLE as error:
            if out_of_memory(error):
                raise
            raise SampleError(sample.id, f"it cannot be prepared: {error}") from None
        return dict(inputs), target

    def _inputs(self, sample: Sample) -> dict[str, Tensors]:
        held = inputs_of(sample, self.processors, partial=self.partial)
        try:
            return {m: self.processors[m].prepare(raw, train=self.train) for m, raw in held.items()}
        except UNDECODABLE as error:
            if out_of_memory(error):
                raise
            raise SampleError(sample.id, f"it cannot be decoded: {error}") from None

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
            kinds=[s.kind for s in samples] if any(s.kind for s in samples) else [],
        )


def seed_everything(*parts: int) -> None:
    """Seed torch on all devices, numpy and Python from a tuple of numbers."""
    seed = seed_processors(*parts)
    if torch.accelerator.is_available():
        torch.manual_seed(seed)


def seed_processors(*parts: int) -> int:
    """Seed what draws numbers on the CPU: torch there, numpy and Python.

    `torch.manual_seed` also notes the seed, with a stack trace, for every kind of device that is
    not in use, which takes milliseconds.

    Returns:
        torch's seed.
    """
    words = np.random.SeedSequence(parts).generate_state(2)
    seed = int(words[0])
    torch.default_generator.manual_seed(seed)
    np.random.seed(int(words[1]))
    random.seed(seed)
    return seed
