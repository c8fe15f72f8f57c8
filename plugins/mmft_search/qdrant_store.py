"""A store in which Qdrant keeps and searches: in a folder of its own files, or on a server.

A point is an item: its vector, and as payload the id, stamp, library and preview. Its own id is
derived from the item's, so an item that is sent twice is there once. Scores are inner products, as
with FAISS.
"""

from __future__ import annotations

import base64
import os
import re
import statistics
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from qdrant_client import models

from mmft_core.contracts import Preview
from mmft_core.errors import ConfigError, RunDirectoryError
from mmft_search.items import Identity, Items, Mask
from mmft_search.options import QdrantOptions
from mmft_search.qdrant_connection import LOCAL_UNTIL, Connection
from mmft_search.store import Found, Hit, Index, Place, Quality, Store, Writer

_SENT_AT_ONCE = 500
"""Points in a request, of which a server accepts up to 32 MB."""

_LOCAL = "items"
"""The one collection of files in a folder."""

_PAGE = 4096
_NAMESPACE = uuid.UUID("7a1f3e52-0f3c-5c1d-9f57-6d6d66740001")
_PROBES, _MEASURED_AT = 50, 10
_TIE = 1e-6


@dataclass(frozen=True)
class Page:
    """Points of one library, without their vectors."""

    library: str
    files: bool
    keys: Sequence[str]
    ids: Sequence[str]
    stamps: Sequence[str]

    def __len__(self) -> int:
        return len(self.keys)


class QdrantStore(Store):
    """A collection of a server, or of Qdrant's own files in the folder of the index."""

    def __init__(self, options: QdrantOptions, place: Place) -> None:
        """Raises:
        ConfigError: a collection is named, but no server.
        """
        if options.collection and not options.url:
            raise ConfigError("--collection is only for a server.", hint="Give its --url.")
        self.place, self.options = place, options
        if options.url:
            name = options.collection or _collection_of(place.identity)
            self.options = QdrantOptions(url=options.url.rstrip("/"), collection=name)

    @property
    def where(self) -> str:
        url, name = self.options.url, self.options.collection
        return f"Qdrant at {url} (collection {name})" if url else "Qdrant"

    def clear(self, before: QdrantOptions | None) -> None:
        own = self.options
        if not own.url:
            return
        connection = Connection(self.place.folder, own.url)
        with connection.asked() as client:
            if own != before and client.collection_exists(own.collection):
                raise RunDirectoryError(
                    f"There is a collection '{own.collection}' at {own.url} already, and nothing "
                    f"says that it belongs to the index in {self.place.folder}.",
                    hint="Choose another name with --collection.",
                )
            if before is not None and before.url == own.url:
                client.delete_collection(before.collection)
        connection.close()

    def writer(self) -> QdrantWriter:
        return QdrantWriter(self.options, self.place)

    def index(self, *, exact: bool = False) -> QdrantIndex:
        return QdrantIndex(self.options, self.place, exact=exact)


class QdrantWriter(Writer[Page]):
    """A collection that embeddings are brought to. It is made with the first of them."""

    def __init__(self, options: QdrantOptions, place: Place) -> None:
        """Raises:
        StorageError: the server cannot be reached or refuses.
        RunDirectoryError: another process has the folder.
        """
        self.identity, self.name = place.identity, options.collection or _LOCAL
        self.connection = Connection(place.folder, options.url)

    def __len__(self) -> int:
        return self.connection.count(self.name)

    def parts(self) -> Iterator[Page]:
        wanted, offset = ["library", "files", "stamp", "id", "raw"], None
        while len(self):
            with self.connection.asked() as client:
                points, offset = client.scroll(
                    self.name, limit=_PAGE, offset=offset, with_payload=wanted
                )
            yield from _pages(points)
            if offset is None:
                return

    def keep(self, part: Page, mask: Mask) -> None:
        gone = [key for key, kept in zip(part.keys, mask.tolist(), strict=True) if not kept]
        with self.connection.asked() as client:
            client.delete(self.name, gone)

    def append(self, items: Items) -> None:
        points = [_point(items, row) for row in range(len(items.ids))]
        with self.connection.asked() as client:
            if not client.collection_exists(self.name):
                client.create_collection(
                    self.name,
                    vectors_config=models.VectorParams(
                        size=items.vectors.shape[1], distance=models.Distance.DOT, on_disk=True
                    ),
                )
            for start in range(0, len(points), _SENT_AT_ONCE):
                client.upsert(self.name, points[start : start + _SENT_AT_ONCE], wait=True)

    def finish(self, say: Callable[[str], None]) -> Quality | None:
        number = len(self)
        try:
            if not number:
                return None
            if not self.connection.url and number > LOCAL_UNTIL:
                say(f"Qdrant's own files are slow beyond {LOCAL_UNTIL:,} items; a server is faster")
            recall, milliseconds = self._measured()
        finally:
            self.connection.close()
        how = f"recall@{_MEASURED_AT} {recall:.3f} of an exact search"
        where = f"Qdrant at {self.connection.url}" if self.connection.url else "Qdrant"
        return Quality(
            kind=where, how=how if self.connection.url else "exact", milliseconds=milliseconds
        )

    def _measured(self) -> tuple[float, float]:
        """The recall of a search, against the first ten of an exact one, and its milliseconds.

        Points are the queries. They come in the order of their ids, which is as good as random.
        """
        with self.connection.asked() as client:
            probes, _ = client.scroll(self.name, limit=_PROBES, with_vectors=True)
        shares, seconds = [], []
        for probe in probes:
            found, exact = (
                self.connection.nearest(self.name, probe.vector, _MEASURED_AT + 1, exact=exact)
                for exact in (False, True)
            )
            started = time.perf_counter()
            self.connection.nearest(self.name, probe.vector, _MEASURED_AT + 1, exact=False)
            seconds.append(time.perf_counter() - started)
            shares.append(np.mean([p.score >= exact[-1].score - _TIE for p in found]))
        return float(np.mean(shares)), 1000 * statistics.median(seconds)


class QdrantIndex(Index):
    """Searches a collection. Keys are its points' ids."""

    def __init__(self, options: QdrantOptions, place: Place, *, exact: bool) -> None:
        """Raises:
        StorageError: the server cannot be reached or refuses.
        RunDirectoryError: the collection is empty or gone, or another process has the folder.
        """
        self.identity, self.name, self.exact = place.identity, options.collection or _LOCAL, exact
        self.connection = Connection(place.folder, options.url)
        self.how = f"Qdrant at {options.url}" if options.url else "Qdrant, every item compared"
        if not len(self):
            raise RunDirectoryError(
                f"The index in {place.folder} is empty.", hint="Give `mmft index` a library."
            )

    def __len__(self) -> int:
        return self.connection.count(self.name)

    def close(self) -> None:
        self.connection.close()

    def search(self, vector: np.ndarray[Any, Any], number: int) -> list[Hit]:
        found = self.connection.nearest(self.name, vector.tolist(), number, exact=self.exact)
        return [Hit(_id(point.payload), point.score, str(point.id)) for point in found]

    def item(self, key: str) -> Found | None:
        try:
            uuid.UUID(key)
        except ValueError:
            return None
        with self.connection.asked() as client:
            points = client.retrieve(self.name, [key])
        if not points:
            return None
        payload = points[0].payload
        mime, data = payload.get("mime"), payload.get("preview", "")
        preview = Preview(mime, base64.b64decode(data)) if mime else None
        return Found(_id(payload), payload["stamp"], preview)


def _collection_of(identity: Identity) -> str:
    """The name of the collection of a model's embeddings, where the user gives none."""
    run = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(identity.run).resolve().name)
    return f"mmft-{run}-{identity.modality}-{identity.model[:8]}"


def _point(items: Items, row: int) -> models.PointStruct:
    name, preview = items.ids[row], items.previews[row]
    payload: dict[str, Any] = {
        "id": name,
        "stamp": items.stamps[row],
        "library": items.library,
        "files": items.files,
    }
    if name != name.encode("utf-8", "replace").decode():
        # A file's name need not be UTF-8, as JSON has to be.
        payload["id"] = name.encode("utf-8", "replace").decode()
        payload["raw"] = base64.b64encode(os.fsencode(name)).decode()
    if preview is not None:
        payload |= {"mime": preview.mime, "preview": base64.b64encode(preview.data).decode()}
    # A file is the same item in every library; a table's row is an item of that table only.
    own = b"" if items.files else items.library.encode()
    key = uuid.uuid5(_NAMESPACE, (own + b"\0" + os.fsencode(name)).hex())
    return models.PointStruct(id=str(key), vector=items.vectors[row].tolist(), payload=payload)


def _id(payload: Mapping[str, Any]) -> str:
    if "raw" in payload:
        return os.fsdecode(base64.b64decode(payload["raw"]))
    return str(payload["id"])


def _pages(points: Sequence[Any]) -> Iterator[Page]:
    """Points by their libraries."""

    def library(point: Any) -> tuple[str, bool]:
        return point.payload["library"], point.payload["files"]

    for (name, files), group in groupby(sorted(points, key=library), library):
        own = list(group)
        yield Page(
            library=name,
            files=files,
            keys=[str(point.id) for point in own],
            ids=[_id(point.payload) for point in own],
            stamps=[point.payload["stamp"] for point in own],
        )
