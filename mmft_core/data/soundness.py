"""Checking every sample before training, and reporting bad ones by id."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from mmft_core.contracts import Dataset, Processor, Split, TargetCodec
from mmft_core.contracts.returned import inputs_of
from mmft_core.data.chunks import in_chunks
from mmft_core.data.fingerprints import Fingerprints
from mmft_core.data.remarks import collecting
from mmft_core.data.splits import Subset
from mmft_core.errors import DataError, SampleError
from mmft_core.utils.escaping import escape

_SHOWN = 10
_REASONS = 3
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A sample that cannot be used; `hint` says what to do about it, where that is special."""

    split: str
    index: int
    id: str
    reason: str
    hint: str | None = None


@dataclass
class Findings:
    """What is wrong with samples, and what will be done to others.

    Attributes:
        changes: (split, remark) -> number of samples that will be changed in this way, or are odd
            in it.
        examples: the id of one such sample.
        classes: (split, class) -> number of samples without faults.
        fingerprints: of the samples of each split, in order, if they were asked for.
    """

    faults: list[Fault] = field(default_factory=list)
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], str] = field(default_factory=dict)
    classes: Counter[tuple[str, str]] = field(default_factory=Counter)
    fingerprints: dict[str, list[pa.Table]] = field(default_factory=dict)

    def note(self, split: str, change: str, sample_id: str) -> None:
        """Count what will be changed in a sample, or is odd about it."""
        self.changes[split, change] += 1
        self.examples.setdefault((split, change), sample_id)

    def add_fault(self, split: str, index: int, error: SampleError) -> None:
        self.faults.append(
            Fault(
                split=split,
                index=index,
                id=error.sample_id,
                reason=error.reason,
                hint=error.hint,
            )
        )

    def faulty(self) -> dict[str, list[int]]:
        """The indices of the faulty samples of each split."""
        indices: dict[str, list[int]] = {}
        for fault in self.faults:
            indices.setdefault(fault.split, []).append(fault.index)
        return indices

    def add(self, others: Findings) -> None:
        """Add what else was found."""
        self.faults += others.faults
        self.changes += others.changes
        self.classes += others.classes
        for split, tables in others.fingerprints.items():
            self.fingerprints.setdefault(split, []).extend(tables)
        for change, sample_id in others.examples.items():
            self.examples[change] = min(sample_id, self.examples.get(change, sample_id))

    def sort(self, dataset: Dataset) -> None:
        """Put the faults in the order of the samples."""
        place = {name: number for number, name in enumerate(dataset.splits)}
        self.faults.sort(key=lambda fault: (place[fault.split], fault.index))

    def remarks(self) -> list[str]:
        """The changes in words."""
        return [
            f"{name}: {count:,} x {what}, such as {self.examples[name, what]}"
            for (name, what), count in self.changes.items()
        ]


Progress: TypeAlias = Callable[[int, int], None]
"""Called with the numbers of samples that are done, and of all."""


def read(
    dataset: Dataset,
    on_progress: Progress = lambda done, total: None,
    fingerprints: Fingerprints | None = None,
    *,
    targets: bool = False,
) -> Findings:
    """Check that every sample and its target can be read, on all cores.

    Decoders release Python's lock, so threads suffice. Processes that train together each check
    their share.

    Args:
        targets: whether every sample must have one.
        fingerprints: also takes those of the samples, whose files were just read.
    """

    def look(name: str, split: Split, index: int, found: Findings) -> None:
        with collecting() as remarks:
            split.check(index)
        # Without the numbers of single files, so that they can be counted.
        for text in dict.fromkeys(_NUMBER.sub("...", text) for text in remarks):
            found.note(name, text, split.sample_id(index))
        if split.target(index) is None and targets:
            raise SampleError(split.sample_id(index), "it has no target")

    return _look_at_all(dataset, look, {}, on_progress, fingerprints)


def inspect(
    dataset: Dataset,
    processors: Mapping[str, Processor],
    codec: TargetCodec,
    on_progress: Progress = lambda done, total: None,
    *,
    learns: bool = False,
    targets: bool = False,
    partial: bool = True,
    known: Findings | None = None,
) -> Findings:
    """Check that every sample can be read, and used by a task.

    Args:
        processors: of the task, by modality.
        codec: of the task.
        learns: whether the task learns from the train split; else it is only evaluated on all.
        targets: see `read`.
        partial: whether samples may lack some of the inputs.
        known: what `read` found, if it was called before; samples that cannot be read are not
            looked at again.
    """
    known = read(dataset, on_progress, targets=targets) if known is None else known
    inspected = {m: p for m, p in processors.items() if p.inspects}
    evaluation_codec = codec.for_evaluation()

    def look(name: str, split: Split, index: int, found: Findings) -> None:
        train = learns and name == "train"
        target = split.target(index)
        own = codec if train else evaluation_codec
        changes = [own.inspect(target)] if target is not None else []
        if inspected:
            inputs = inputs_of(split[index], inspected, partial=partial)
            changes += [inspected[m].inspect(raw, train=train) for m, raw in inputs.items()]
        for change in filter(None, changes):
            found.note(name, change, split.sample_id(index))
        for label in classes_of(target) if dataset.info.classes else ():
            found.classes[name, label] += 1

    found = _look_at_all(dataset, look, known.faulty(), on_progress)
    found.add(known)
    found.sort(dataset)
    return found


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
        left = {own for index in range(len(train)) for own in classes_of(train.target(index))}
        gone = [name for name in dataset.info.classes if name not in left]
        if left and gone:  # Structured targets, such as boxes, name no class by themselves.
            raise DataError(f"No sample of class '{gone[0]}' can be used to train on.")
    return replace(dataset, splits=splits)


def classes_of(target: Any) -> tuple[str, ...]:
    """The classes that a target names: one, those of a set of labels, or none."""
    named = target if isinstance(target, list | tuple) else (target,)
    return tuple(dict.fromkeys(name for name in named if isinstance(name, str)))


def refuse(faults: Sequence[Fault], total: int) -> DataError:
    """The error that lists bad samples."""
    lines = [f"\n  {escape(fault.id)}: {escape(fault.reason)}" for fault in faults[:_SHOWN]]
    more = ""
    if len(faults) > _SHOWN:
        reasons = Counter(fault.reason for fault in faults).most_common(_REASONS)
        often = "".join(f"\n  {n:,} times: {escape(why)}" for why, n in reasons if n > 1)
        more = f"\n  and {len(faults) - _SHOWN} more"
        more += f". Most frequent reasons:{often}" if often else ""
    special = dict.fromkeys(fault.hint for fault in faults if fault.hint)
    return DataError(
        f"{len(faults)} of {total} samples cannot be used:{''.join(lines)}{more}",
        hint=" ".join(
            ["Correct or remove them, or leave them out with --on-bad-sample skip.", *special]
        ),
    )


_Look: TypeAlias = Callable[[str, Split, int, Findings], None]
"""Looks at a sample of a split of that name; may raise SampleError or ValueError."""


def _look_at_all(
    dataset: Dataset,
    look: _Look,
    but: Mapping[str, Sequence[int]],
    on_progress: Progress,
    fingerprints: Fingerprints | None = None,
) -> Findings:
    """Look at all samples, on all cores and all processes.

    Args:
        but: split -> indices of samples to skip.
        fingerprints: also takes those of the samples, whose files were just read.
    """
    total = sum(len(split) for split in dataset.splits.values())
    findings, done = Findings(), 0

    def on_done(samples: int) -> None:
        nonlocal done
        done = min(total, done + samples)
        on_progress(done, total)

    def check(name: str, split: Split, passed: frozenset[int], indices: range) -> Findings:
        found = Findings()
        for index in indices:
            if index in passed:
                continue
            try:
                look(name, split, index, found)
            except SampleError as error:
                found.add_fault(name, index, error)
            except ValueError as error:
                found.add_fault(name, index, SampleError(split.sample_id(index), str(error)))
        if fingerprints is not None:
            found.fingerprints[name] = [fingerprints.table(split, indices)]
        return found

    for name, split in dataset.splits.items():
        passed = frozenset(but.get(name, ()))
        for found in in_chunks(len(split), partial(check, name, split, passed), on_done):
            findings.add(found)
    findings.sort(dataset)
    return findings
