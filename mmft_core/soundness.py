"""Is the data sound? Every sample is looked at before training; what is bad is reported by id."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from mmft_core.contracts import Dataset, Split, TargetCodec
from mmft_core.errors import DataError, SampleError
from mmft_core.splits import Subset

_CHUNK = 256
_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A sample that cannot be used."""

    split: str
    index: int
    id: str
    reason: str


def find_faults(
    dataset: Dataset,
    codec: TargetCodec,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Fault]:
    """Check that every sample can be read and its target learned, on all cores.

    Decoders release Python's lock, so threads suffice.

    Args:
        codec: of the task.
        on_progress: told how many of how many samples are done.
    """
    total = sum(len(split) for split in dataset.splits.values())
    faults: list[Fault] = []
    done = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, split in dataset.splits.items():
            check = partial(_check_chunk, name, split, codec)
            for found, size in pool.map(check, range(0, len(split), _CHUNK)):
                faults += found
                done += size
                on_progress(done, total)
    return faults


def without(dataset: Dataset, faulty: Mapping[str, Sequence[int]]) -> Dataset:
    """Leave samples out of a dataset.

    Args:
        faulty: split -> indices.

    Raises:
        DataError: nothing is left of a split, or of a class in the training split.
    """
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
    return Dataset(info=dataset.info, splits=splits)


def refuse(faults: Sequence[Fault], total: int) -> DataError:
    """The error that lists bad samples."""
    lines = [f"\n  {fault.id}: {fault.reason}" for fault in faults[:_SHOWN]]
    more = f"\n  and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    return DataError(
        f"{len(faults)} of {total} samples cannot be used:{''.join(lines)}{more}",
        hint="Mend or remove them, or leave them out with --on-bad-sample skip.",
    )


def _check_chunk(
    name: str, split: Split, codec: TargetCodec, start: int
) -> tuple[list[Fault], int]:
    found = []
    stop = min(start + _CHUNK, len(split))
    for index in range(start, stop):
        try:
            split.check(index)
            codec.encode(split.target(index))
        except SampleError as error:
            fault = Fault(split=name, index=index, id=error.sample_id, reason=error.reason)
            found.append(fault)
        except ValueError as error:
            sample_id = split.sample_id(index)
            found.append(Fault(split=name, index=index, id=sample_id, reason=str(error)))
    return found, stop - start
