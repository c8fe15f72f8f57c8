"""Looking at every sample once, in worker processes on all cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from mmft_core import cpus
from mmft_core.contracts import Inspector, Split, Traits
from mmft_core.data import collecting
from mmft_core.errors import SampleError
from mmft_core.loading import UNDECODABLE

_CHUNK = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was seen of a sample.

    Attributes:
        traits: of each modality that it has and that there is an inspector for.
        held: the modalities that it has.
        error: why it cannot be used, by kind of finding.
        remarks: what is odd about it.
    """

    split: str
    index: int
    id: str
    target: Any
    traits: Mapping[str, Traits] = field(default_factory=dict)
    held: tuple[str, ...] = ()
    error: tuple[str, str] | None = None
    remarks: tuple[str, ...] = ()


class _Looks(Dataset[Look]):
    def __init__(self, name: str, split: Split, inspectors: Mapping[str, Inspector]) -> None:
        self.name, self.split, self.inspectors = name, split, inspectors

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> Look:
        with collecting() as remarks:
            found = self._look(index)
        return replace(found, remarks=tuple(remarks)) if found.error is None else found

    def _look(self, index: int) -> Look:
        try:
            sample = self.split[index]
        except SampleError as error:
            return self._failed(index, error.sample_id, error)
        try:
            held = {m: raw for m, raw in sample.inputs.items() if raw is not None}
            traits = {m: i.inspect(held[m]) for m, i in self.inspectors.items() if m in held}
        except (SampleError, *UNDECODABLE) as error:
            return self._failed(index, sample.id, error, sample.target)
        return Look(
            split=self.name,
            index=index,
            id=sample.id,
            target=sample.target,
            traits=traits,
            held=tuple(held),
        )

    def _failed(self, index: int, sample_id: str, error: Exception, target: Any = None) -> Look:
        kind, text = "unreadable", f"cannot be decoded: {error}"
        if isinstance(error, SampleError):  # Its reason is a part of a sentence, as findings are.
            kind = error.kind
            text = error.reason.removeprefix("it ").removeprefix("the file ")
        return Look(split=self.name, index=index, id=sample_id, target=target, error=(kind, text))


def look(
    splits: Mapping[str, Split],
    inspectors: Mapping[str, Inspector],
    on_progress: Callable[[int, int], None],
) -> Iterator[Look]:
    """Look at every sample of every split, in order."""
    done, total = 0, sum(len(split) for split in splits.values())
    for name, split in splits.items():
        workers = cpus.available() if len(split) > 4 * _CHUNK else 0
        loader: DataLoader[Look] = DataLoader(
            _Looks(name, split, inspectors),
            batch_size=_CHUNK,
            num_workers=workers,
            collate_fn=list,
            worker_init_fn=_start if workers else None,
        )
        for looks in loader:
            yield from looks
            done += len(looks)
            on_progress(done, total)


def _start(_: int) -> None:
    torch.set_num_threads(1)
