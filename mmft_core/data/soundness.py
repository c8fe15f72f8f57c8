"""Is the data sound? Every sample is looked at before training; what is bad is reported by id."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from mmft_core.contracts import Dataset, Processor, Split, TargetCodec
from mmft_core.data.remarks import collecting
from mmft_core.data.splits import Subset
from mmft_core.distributed import processes
from mmft_core.errors import DataError, SampleError

_CHUNK = 256
_SHOWN = 10
_REASONS = 3
_NUMBER = re.compile(r"\d+")


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
        changes: how many samples of each split something will be done to, or is odd about:
            (split, what) -> count.
        examples: the id of one such sample.
    """

    faults: list[Fault] = field(default_factory=list)
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, other: Findings) -> None:
        """Take in what was found in other samples."""
        self.faults += other.faults
        self.changes += other.changes
        for change, sample_id in other.examples.items():
            self.examples[change] = min(sample_id, self.examples.get(change, sample_id))

    def faulty(self) -> dict[str, list[int]]:
        """The indices of the faulty samples of each split."""
        indices: dict[str, list[int]] = {}
        for fault in self.faults:
            indices.setdefault(fault.split, []).append(fault.index)
        return indices

    def remarks(self) -> list[str]:
        """The changes in words."""
        return [
            f"{name}: {count:,} x {what}, such as {self.examples[name, what]}"
            for (name, what), count in self.changes.items()
        ]


def inspect(
    dataset: Dataset,
    processors: Mapping[str, Processor],
    codec: TargetCodec,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Findings:
    """Check that every sample can be read and its target learned, on all cores.

    Decoders and tokenizers release Python's lock, so threads suffice. Processes that train together
    each check their share.

    Args:
        processors: of the task, by modality.
        codec: of the task.
        on_progress: told how many of how many samples are done.
    """
    total = sum(len(split) for split in dataset.splits.values())
    findings, done = Findings(), 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, split in dataset.splits.items():
            check = partial(_inspect_chunk, name, split, processors, codec)
            own = Findings()
            for found, size in pool.map(check, processes.share(range(0, len(split), _CHUNK))):
                own.add(found)
                done = min(total, done + size * processes.count())
                on_progress(done, total)
            everyone = Findings()
            for found in processes.gather(own):
                everyone.add(found)
            everyone.faults.sort(key=lambda fault: fault.index)
            findings.add(everyone)
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
    more = ""
    if len(faults) > _SHOWN:
        reasons = Counter(fault.reason for fault in faults).most_common(_REASONS)
        often = "".join(f"\n  {count:,} x {reason}" for reason, count in reasons if count > 1)
        more = f"\n  and {len(faults) - _SHOWN} more" + (f"; in all{often}" if often else "")
    return DataError(
        f"{len(faults)} of {total} samples cannot be used:{''.join(lines)}{more}",
        hint="Mend or remove them, or leave them out with --on-bad-sample skip.",
    )


def _inspect_chunk(
    name: str, split: Split, processors: Mapping[str, Processor], codec: TargetCodec, start: int
) -> tuple[Findings, int]:
    findings = Findings()
    inspected = {m: p for m, p in processors.items() if p.inspects}
    stop = min(start + _CHUNK, len(split))
    for index in range(start, stop):
        try:
            for change in _inspect_sample(split, index, inspected, codec, name == "train"):
                findings.changes[name, change] += 1
                findings.examples.setdefault((name, change), split.sample_id(index))
        except SampleError as error:
            fault = Fault(split=name, index=index, id=error.sample_id, reason=error.reason)
            findings.faults.append(fault)
    return findings, stop - start


def _inspect_sample(
    split: Split,
    index: int,
    inspected: Mapping[str, Processor],
    codec: TargetCodec,
    train: bool,
) -> Iterator[str]:
    """Check one sample; yield what will be done to it, and what is odd about it.

    Raises:
        SampleError: it cannot be used.
    """
    with collecting() as remarks:
        split.check(index)
    # Without the numbers of single files, so that they can be counted.
    yield from dict.fromkeys(_NUMBER.sub("...", text) for text in remarks)
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
