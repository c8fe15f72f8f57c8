"""Finding out who keeps an index, and opening it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmft_core.errors import ConfigError, RunDirectoryError
from mmft_core.extras import require_extra
from mmft_search import folder as folders
from mmft_search.items import Identity
from mmft_search.keeping import Index, Store


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Who is to keep an index.

    Attributes:
        keeper: faiss or qdrant; None for whoever does, or FAISS.
        url: of Qdrant's server; "" for files in the folder.
        collection: its name on the server; "" for one after run and model.
    """

    keeper: str | None = None
    url: str = ""
    collection: str = ""

    def __post_init__(self) -> None:
        if self.keeper == "faiss" and self.url:
            raise ConfigError("FAISS has no --url.", hint="Give --store qdrant.")
        if self.collection and not self.url:
            raise ConfigError("--collection names one of a server.", hint="Give its --url.")

    @property
    def qdrant(self) -> bool:
        return self.keeper == "qdrant" or bool(self.url)

    def of(self, identity: Identity) -> folders.Collection:
        """The collection that is meant."""
        name = "items"
        if self.url:
            run = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(identity.run).resolve().name)
            name = self.collection or f"mmft-{run}-{identity.modality}-{identity.model[:8]}"
        return folders.Collection(url=self.url.rstrip("/"), name=name)


def require(folder: Path, wanted: Wanted) -> None:
    """Raises:
    MissingExtraError: who keeps the index, or is to keep it, is not installed.
    """
    if wanted.qdrant or (wanted.keeper is None and folders.recorded(folder) is not None):
        require_extra("An index that Qdrant keeps", "qdrant")
    else:
        require_extra("An index that FAISS keeps", "index")


def begin(folder: Path, identity: Identity, wanted: Wanted) -> Store[Any]:
    """Begin an empty index, in place of what is there of another.

    Raises:
        StorageError: it cannot be written, or the server cannot be reached.
        RunDirectoryError: the server has such a collection, of somebody else.
    """
    collection = wanted.of(identity) if wanted.qdrant else None
    if wanted.keeper is None and collection is None:
        collection = folders.recorded(folder)
    if collection is not None:
        from mmft_search.qdrant_store import QdrantStore

        return QdrantStore.create(folder, identity, collection)
    from mmft_search.faiss_store import FaissStore

    return FaissStore.create(folder, identity)


def open_store(folder: Path, wanted: Wanted) -> Store[Any]:
    """Open an index to add to it.

    Raises:
        RunDirectoryError: there is none, it is damaged, or kept elsewhere than is wanted.
        StorageError: the server cannot be reached.
    """
    record = folders.read(folder)
    _check(folder, record, wanted)
    if record.qdrant is None:
        from mmft_search.faiss_store import FaissStore

        return FaissStore.open(folder, mend=True)
    from mmft_search.qdrant_store import QdrantStore

    return QdrantStore(folder, record.identity, record.qdrant)


def open_index(folder: Path, *, exact: bool = False) -> Index:
    """Open an index to search it.

    Args:
        exact: compare with every item.

    Raises:
        MissingExtraError: its keeper is not installed.
        RunDirectoryError: there is none, it is empty, unfinished or damaged.
        StorageError: the server cannot be reached.
    """
    record = folders.read(folder)
    require(folder, Wanted())
    if record.qdrant is None:
        from mmft_search.faiss_store import FaissIndex

        return FaissIndex.open(folder, exact=exact)
    from mmft_search.qdrant_store import QdrantIndex

    return QdrantIndex(folder, record.identity, record.qdrant, exact=exact)


def _check(folder: Path, record: folders.Record, wanted: Wanted) -> None:
    """Raises:
    RunDirectoryError: the index that is there is kept elsewhere.
    """
    if wanted.keeper is None and not wanted.url:
        return
    asked = wanted.of(record.identity) if wanted.qdrant else None
    if asked is not None and record.qdrant is not None and not wanted.collection:
        same = asked.url == record.qdrant.url
    else:
        same = asked == record.qdrant
    if not same:
        kept = "FAISS keeps"
        if record.qdrant is not None:
            kept = f"Qdrant{' at ' + record.qdrant.url if record.qdrant.url else ''} keeps"
        raise RunDirectoryError(
            f"{kept} the index in {folder}.",
            hint="Leave --store and --url out, add --rebuild to make it anew, or choose another "
            "--output.",
        )
