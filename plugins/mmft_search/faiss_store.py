"""A store whose vectors lie in a folder's files, and are searched by FAISS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mmft_search.measuring import Facts, search_exactly
from mmft_search.nearest import Nearest, refresh
from mmft_search.options import FaissOptions
from mmft_search.shard import Shard
from mmft_search.store import Found, Hit, Index, Place, Quality, Store, Writer
from mmft_search.vectors import VectorStore


class FaissStore(Store):
    """Files in the folder of the index: Arrow's are the source, FAISS's are built from them."""

    where = "FAISS"

    def __init__(self, options: FaissOptions, place: Place) -> None:
        self.options, self.folder = options, place.folder

    def writer(self) -> FaissWriter:
        writer = FaissWriter.open(self.folder, mend=True)
        writer.kind = self.options.kind
        return writer

    def index(self, *, exact: bool = False) -> FaissIndex:
        store = VectorStore.open(self.folder)
        return FaissIndex(store, None if exact else Nearest.open(store))


class FaissWriter(VectorStore, Writer[Shard]):
    """A folder's files, from which the FAISS index beside them is built."""

    kind = "auto"

    def parts(self) -> Iterator[Shard]:
        return iter(list(self.shards))

    def finish(self, say: Callable[[str], None]) -> Quality | None:
        found = refresh(self, self.kind, say)
        if found is None:
            return None
        facts = found.facts
        return Quality(kind=facts.kind, how=_how(facts), milliseconds=facts.milliseconds)


class FaissIndex(Index):
    """Searches such a folder. Keys are positions in it."""

    def __init__(self, store: VectorStore, nearest: Nearest | None) -> None:
        """Args:
        nearest: None compares each query with every vector.
        """
        self.store, self.nearest, self.identity = store, nearest, store.identity
        self.how = "every item compared"
        if nearest is not None and nearest.facts.kind != "flat":
            self.how = f"{nearest.facts.kind}, {_how(nearest.facts)}"

    def __len__(self) -> int:
        return len(self.store)

    def search(self, vector: np.ndarray[Any, Any], number: int) -> list[Hit]:
        query = np.ascontiguousarray(vector[None], dtype=np.float32)
        if self.nearest is None:
            scores, positions = search_exactly(self.store, query, number)
        else:
            scores, positions = self.nearest.search(query, number)
        found = zip(positions[0].tolist(), scores[0].tolist(), strict=True)
        return [Hit(self._id(position), score, str(position)) for position, score in found]

    def item(self, key: str) -> Found | None:
        if not key.isdecimal() or int(key) >= len(self.store):
            return None
        shard, row = self.store.locate(int(key))
        return Found(shard.id(row), shard.stamp(row), shard.preview(row))

    def _id(self, position: int) -> str:
        shard, row = self.store.locate(position)
        return shard.id(row)


def _how(facts: Facts) -> str:
    return "exact" if facts.kind == "flat" else f"recall@10 {facts.recall:.3f} of an exact search"
