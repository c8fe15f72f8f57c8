"""The nearest vectors to a query, by FAISS: exactly, or approximately with a measured recall.

Few vectors are compared one by one ("flat"), more are found along a graph of neighbours ("hnsw";
Malkov and Yashunin, 2016), and very many in the cells nearest to the query ("ivf"; Jégou et al.,
2011). How far these two look is raised until they find what an exact search finds.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import faiss
import msgspec

from mmft_core.errors import RunDirectoryError, StorageError, first_line
from mmft_core.utils import digest_of, replacing_folder, sha256
from mmft_search.folder import NEAREST
from mmft_search.items import Vectors
from mmft_search.measuring import (
    MEASURED_AT,
    SEED,
    Facts,
    Kind,
    Positions,
    measured,
    parameters,
    sample,
)
from mmft_search.vectors import VectorStore

FLAT_UNTIL = 20_000
HNSW_UNTIL = 200_000

_LINKS, _BREADTH = 32, 80
_ROWS_PER_CELL = 64
_ITERATIONS = 10
_GROWTH = 2.0
"""Cells are laid out again when there are this many times as many vectors as they were made for."""

_AGAIN = "Run `mmft index` again, with the same library: only the index is built again."
_MARKS = (b"IxFI", b"IHNf", b"IwFl")
"""The first bytes of flat, HNSW and IVF indexes in FAISS's files."""
_INDEX, _FACTS = "index.faiss", "facts.json"


class Nearest:
    """An index of all vectors of a store."""

    def __init__(self, index: Any, facts: Facts) -> None:
        self.index, self.facts = index, facts

    @classmethod
    def open(cls, store: VectorStore) -> Nearest:
        """Open the index of a store.

        Raises:
            RunDirectoryError: there is none of all its vectors, or it is damaged.
        """
        if not len(store):
            raise RunDirectoryError(
                f"The index in {store.folder} is empty.", hint="Give `mmft index` a library."
            )
        nearest = _load(store.folder, store.width)
        if nearest.facts.contents != store.contents:
            raise RunDirectoryError(
                f"The index in {store.folder} does not contain all that was embedded.", hint=_AGAIN
            )
        return nearest

    def search(self, queries: Vectors, number: int) -> tuple[Vectors, Positions]:
        """Find the nearest vectors.

        Args:
            queries: (Q, D) float32, of length one.

        Returns:
            similarities (Q, k), the highest first, and positions in the store (Q, k), with k no
            more than there are vectors.
        """
        number, facts = min(number, self.index.ntotal), self.facts
        if facts.kind != "flat":  # The effort was measured for that many.
            facts = replace(facts, effort=facts.effort * -(-number // MEASURED_AT))
        while True:
            found = self.index.search(queries, number, params=parameters(facts))
            if facts.effort >= self.index.ntotal or not (found[1] < 0).any():
                return found[0], found[1]
            facts = replace(facts, effort=2 * facts.effort)


def kind_for(size: int) -> Kind:
    """The kind of index that suits this many vectors."""
    return "flat" if size <= FLAT_UNTIL else "hnsw" if size <= HNSW_UNTIL else "ivf"


def refresh(store: VectorStore, wanted: str, say: Callable[[str], None]) -> Nearest | None:
    """Bring the index up to the store: unchanged, added to, or built again; None if that is empty.

    Args:
        wanted: one of `KINDS`, or "auto" to go by size.
        say: called with what takes long.

    Raises:
        StorageError: it cannot be written.
    """
    if not len(store):
        shutil.rmtree(store.folder / NEAREST, ignore_errors=True)
        return None
    kind = kind_for(len(store)) if wanted == "auto" else msgspec.convert(wanted, Kind)
    with contextlib.suppress(RunDirectoryError):
        current = _load(store.folder, store.width)
        known, facts = current.facts.contents, current.facts
        if facts.kind == kind and known == store.contents:
            return current
        laid_out = kind != "ivf" or len(store) <= _GROWTH * facts.trained_on
        if facts.kind == kind and laid_out and known == store.contents[: len(known)]:
            # A mapped index cannot be added to.
            index = _read(store.folder / NEAREST / _INDEX, 0)
            return _finish(index, facts, store, len(known), say)
    index, trained_on = _empty(store, kind, say)
    return _finish(index, Facts(kind=kind, contents=[], trained_on=trained_on), store, 0, say)


def _load(folder: Path, width: int) -> Nearest:
    """Open the index that is there, of whatever part of the store."""
    folder = folder / NEAREST
    if not (folder / _FACTS).is_file():
        raise RunDirectoryError(f"The index in {folder.parent} is unfinished.", hint=_AGAIN)
    try:
        content = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        facts = msgspec.convert(content, Facts)
        file = folder / _INDEX
        if file.stat().st_size != facts.bytes:
            raise ValueError(f"it has {file.stat().st_size} bytes and not {facts.bytes}")
        if facts.digest and digest_of(file) != facts.digest:
            raise ValueError("it is not what was written")
        index = _read(file, faiss.IO_FLAG_MMAP_IFC)
        if (index.d, index.ntotal) != (width, sum(size for _, size in facts.contents)):
            raise ValueError("it holds other vectors than it says")
    except (OSError, ValueError, RuntimeError) as error:
        raise RunDirectoryError(
            f"{folder} is damaged: {first_line(error)}.", hint=_AGAIN
        ) from error
    return Nearest(index, facts)


def _read(file: Path, flags: int) -> Any:
    """Read an index of the kinds that are written here.

    FAISS also reads lists that lie in another file, which the index names and which adding to the
    index would change.

    Raises:
        ValueError: it is of another kind.
        RuntimeError: FAISS cannot read it.
    """
    with file.open("rb") as stream:
        if stream.read(4) not in _MARKS:
            raise ValueError("it is of a kind that mmft does not write")
    index = faiss.read_index(str(file), flags | faiss.IO_FLAG_READ_ONLY)
    if isinstance(index, faiss.IndexIVF):
        lists = faiss.downcast_InvertedLists(index.invlists)
        if not isinstance(lists, faiss.ArrayInvertedLists):
            raise ValueError("its vectors lie in another file")
    return index


def _empty(store: VectorStore, kind: Kind, say: Callable[[str], None]) -> tuple[Any, int]:
    """An index without vectors, its cells laid out by a sample of the store's."""
    width = store.width
    if kind == "flat":
        return faiss.IndexFlatIP(width), 0
    if kind == "hnsw":
        index = faiss.IndexHNSWFlat(width, _LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = _BREADTH
        return index, 0
    cells = max(1, min(int(4 * len(store) ** 0.5), len(store) // 39))
    say(f"laying out {cells:,} cells")
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, cells, faiss.METRIC_INNER_PRODUCT)
    index.cp.spherical, index.cp.niter, index.cp.seed = True, _ITERATIONS, SEED
    index.train(sample(store, cells * _ROWS_PER_CELL))
    return index, len(store)


def _finish(
    index: Any, facts: Facts, store: VectorStore, first: int, say: Callable[[str], None]
) -> Nearest:
    """Add the shards from the `first`, measure, and write."""
    if len(store) > FLAT_UNTIL:
        say(f"adding {len(store) - index.ntotal:,} vectors to the {facts.kind} index")
    for shard in store.shards[first:]:
        index.add(shard.vectors)
    facts = measured(index, replace(facts, contents=store.contents), store)
    with replacing_folder(store.folder / NEAREST) as temporary:
        try:
            faiss.write_index(index, str(temporary / _INDEX))
        except RuntimeError as error:  # Only its message has the system's reason.
            raise StorageError(
                f"The index in {store.folder} cannot be written: {first_line(error)}.",
                hint="The embeddings are kept; free some space and run `mmft index` again.",
            ) from error
        file = temporary / _INDEX
        facts = replace(facts, bytes=file.stat().st_size, digest=sha256(file))
        (temporary / _FACTS).write_text(json.dumps(asdict(facts), indent=2), encoding="utf-8")
    return Nearest(index, facts)
