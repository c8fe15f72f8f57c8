"""Bringing an index up to its library: embed what is new, drop what is gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmft_core.data import Subset
from mmft_core.errors import SampleError
from mmft_core.inference import Predictor, recall
from mmft_search.items import Items, Mask, Vectors
from mmft_search.library import Library
from mmft_search.store import Writer

SHARD_ROWS = 4096
SHARD_SECONDS = 60.0
"""Vectors are written after this many or this long, so no more work than that can be lost."""


@dataclass
class Change:
    """What changed of a library's items."""

    added: int = 0
    unchanged: int = 0
    removed: int = 0
    seconds: float = 0.0
    failed: list[SampleError] = field(default_factory=list)


def update(
    store: Writer[Any],
    library: Library,
    predictor: Predictor,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Change:
    """Embed the items of a library that a store does not have, and drop those that are gone.

    An item that has changed is dropped and embedded anew. One that cannot be read is among the
    failed, and the others are embedded all the same. After an interruption, what was embedded is
    kept.

    Raises:
        StorageError: the store cannot be written, or does not answer.
    """
    started, change = time.monotonic(), Change()
    ids = [library.split.sample_id(i) for i in range(len(library.split))]
    stamps = library.stamps()
    new = _compare(store, library, dict(zip(ids, stamps, strict=True)), change)
    missing = np.array([i for i, item in enumerate(ids) if item in new], dtype=np.int64)
    rows = _Rows(store, library, {ids[i]: i for i in missing.tolist()}, stamps)
    done = 0
    try:
        for own, part in recall(predictor, Subset(library.split, missing)):
            for results, vectors in own.outputs(part, in_order=False):
                change.failed += [r for r in results if isinstance(r, SampleError)]
                if vectors is not None:
                    read = [r for r in results if isinstance(r, str)]
                    change.failed += rows.add(read, vectors.float().cpu().numpy())
                done += len(results)
                on_progress(done, len(missing))
    finally:
        rows.flush()
    change.added, change.seconds = rows.written, time.monotonic() - started
    return change


def _compare(
    store: Writer[Any], library: Library, wanted: dict[str, str], change: Change
) -> set[str]:
    """Drop what is gone or has changed; return the ids that are still to be embedded."""
    new = set(wanted)
    for part in store.parts():
        if part.files != library.files or not (library.files or part.library == library.name):
            continue
        keep = np.ones(len(part), dtype=np.bool_)
        for row, (item, stamp) in enumerate(zip(part.ids, part.stamps, strict=True)):
            if item in new and library.unchanged(stamp, wanted[item]):
                new.remove(item)
                change.unchanged += 1
            elif item in wanted or library.owns(item, part.library):
                keep[row] = False
        if not keep.all():
            change.removed += int((~keep).sum())
            store.keep(part, keep)
    return new


class _Rows:
    """Gathers vectors, and writes some thousands of them at a time."""

    def __init__(
        self, store: Writer[Any], library: Library, places: dict[str, int], stamps: Sequence[str]
    ) -> None:
        self.store, self.library, self.places, self.stamps = store, library, places, stamps
        self.written = 0
        self._begin()

    def add(self, ids: Sequence[str], vectors: Vectors) -> list[SampleError]:
        """Take vectors (n, D); return an error for each that is not finite."""
        sound: Mask = np.all(np.isfinite(vectors), axis=1)
        self.ids += [item for item, good in zip(ids, sound, strict=True) if good]
        self.vectors.append(vectors[sound])
        late = time.monotonic() - self.begun > SHARD_SECONDS
        if len(self.ids) >= SHARD_ROWS or late:
            self.flush()
        bad = [item for item, good in zip(ids, sound, strict=True) if not good]
        return [SampleError(item, "its embedding is not finite") for item in bad]

    def flush(self) -> None:
        if not self.ids:
            return
        places = [self.places[item] for item in self.ids]
        items = Items(
            library=self.library.name,
            files=self.library.files,
            ids=self.ids,
            stamps=[self.library.sealed(place, self.stamps[place]) for place in places],
            vectors=np.concatenate(self.vectors),
            previews=[self.library.preview(place) for place in places],
        )
        self.store.append(items)
        self.written += len(items.ids)
        self._begin()

    def _begin(self) -> None:
        self.ids: list[str] = []
        self.vectors: list[Vectors] = []
        self.begun = time.monotonic()
