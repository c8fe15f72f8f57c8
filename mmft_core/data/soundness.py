"""Is the data sound? Every sample is looked at before training; what is bad is reported by id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pyarrow as pa

from mmft_core.contracts import Dataset, Processor, Split, TargetCodec
from mmft_core.data.chunks import in_chunks
from mmft_core.data.fingerprints import Fingerprints
from mmft_core.data.splits import Subset
from mmft_core.errors import DataError, SampleError

_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A sample that cannot be used."""

    split: str
    index: int
    id: str
    reason: str


@dataclass
class Findings:
    """What is wrong with samples, and what will be done to others.

    Attributes:
        changes: how many samples of each split something will be done to: (split, what) -> count.
        fingerprints: of the samples of each split, in order, if they were asked for.
    """

    faults: list[Fault] = field(default_factory=list)
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)
    fingerprints: dict[str, list[pa.Table]] = field(default_factory=dict)

    def add(self, other: Findings) -> None:
        """Take up what was found in other samples."""
        self.faults += other.faults
        self.changes += other.changes
        for split, tables in other.fingerprints.items():
            self.fingerprints.setdefault(split, []).extend(tables)

    def faulty(self) -> dict[str, list[int]]:
        """The indices of the faulty samples of each split."""
        indices: dict[str, list[int]] = {}
        for fault in self.faults:
            indices.setdefault(fault.split, []).append(fault.index)
        return indices

    def remarks(self) -> list[str]:
        """The changes in words."""
        return [f"{name}: {count:,} x {what}" for (name, what), count in self.changes.items()]


def inspect(
    dataset: Dataset,
    processors: Mapping[str, Processor],
    codec: TargetCodec,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    fingerprints: Fingerprints | None = None,
) -> Findings:
    """Check that every sample can be read and its target learned, on all cores.

    Decoders and tokenizers release Python's lock, so threads suffice. Processes that train together
    each check their share.

    Args:
        processors: of the task, by modality.
        codec: of the task.
        on_progress: told how many of how many samples are done.
        fingerprints: takes those of the samples as well, whose files were just read.
    """
    total = sum(len(split) for split in dataset.splits.values())
    findings, done = Findings(), 0

    def on_done(samples: int) -> None:
        nonlocal done
        done = min(total, done + samples)
        on_progress(done, total)

    for name, split in dataset.splits.items():
        check = partial(_inspect_chunk, name, split, processors, codec, fingerprints)
        for found in in_chunks(len(split), check, on_done):
            findings.add(found)
    return findings


def without(dataset: Dataset, faulty: Mapping[str, Sequence[int]]) -> Dataset:
    """Leave samples out of a dataset.

    Args:
        faulty: split -> indices.

    Raises:
        DataError: nothing is left of a split, or of a class in the training split.
    """
    if not faulty:
        return dataset
    splits: dict[str, Split] = {}
    for name, split in dataset.splits.items():
        keep = np.setdiff1d(np.arange(len(split)), np.asarray(faulty.get(name, ()), dtype=np.int64))
        if len(keep) == 0:
            raise DataError(f"No sample of the {name} split can be used.")
        splits[name] = split if len(keep) == len(split) else Subset(split, keep)
    if faulty.get("train"):
        train = splits["train"]
        left = {train.target(index) for index in range(len(train))}
        gone = [name for name in dataset.info.classes if name not in left]
        if gone:
            raise DataError(f"No sample of class '{gone[0]}' can be used to train on.")
    return replace(dataset, splits=splits)


def refuse(faults: Sequence[Fault], total: int) -> DataError:
    """The error that lists bad samples."""
    lines = [f"\n  {fault.id}: {fault.reason}" for fault in faults[:_SHOWN]]
    more = f"\n  and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    return DataError(
        f"{len(faults)} of {total} samples cannot be used:{''.join(lines)}{more}",
        hint="Mend or remove them, or leave them out with --on-bad-sample skip.",
    )


def _inspect_chunk(
    name: str,
    split: Split,
    processors: Mapping[str, Processor],
    codec: TargetCodec,
    fingerprints: Fingerprints | None,
    indices: range,
) -> Findings:
    findings = Findings()
    inspected = {m: p for m, p in processors.items() if p.inspects}
    for index in indices:
        try:
            for change in _inspect_sample(split, index, inspected, codec, name == "train"):
                findings.changes[name, change] += 1
        except SampleError as error:
            fault = Fault(split=name, index=index, id=error.sample_id, reason=error.reason)
            findings.faults.append(fault)
    if fingerprints is not None:
        findings.fingerprints[name] = [fingerprints.table(split, indices)]
    return findings


def _inspect_sample(
    split: Split,
    index: int,
    inspected: Mapping[str, Processor],
    codec: TargetCodec,
    train: bool,
) -> Iterator[str]:
    """Check one sample; yield what will be done to it.

    Raises:
        SampleError: it cannot be used.
    """
    split.check(index)
    try:
        target = split.target(index)
        changes = [codec.inspect(target)] if target is not None else []
        if inspected:
            inputs = split[index].inputs
            there = {m: p for m, p in inspected.items() if inputs[m] is not None}
            changes += [p.inspect(inputs[m], train=train) for m, p in there.items()]
        yield from filter(None, changes)
    except ValueError as error:
        raise SampleError(split.sample_id(index), str(error)) from None
