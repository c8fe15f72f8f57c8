"""What a vector store is, for authors of one.

A plugin offers stores by `register_store`. `StoreSpec.build(options, place)` makes a `Store` of the
place that an index has. `mmft index` brings embeddings to its `Writer`; `mmft search` and `mmft
serve` ask its `Index`. The folder of the index remembers the store's name and its options.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from mmft_core.contracts import Preview
from mmft_search.folder import FILES
from mmft_search.items import Identity, Items, Mask


class StoredItems(Protocol):
    """Some of the items that are kept, a few thousand of one library."""

    @property
    def library(self) -> str: ...

    @property
    def files(self) -> bool: ...

    @property
    def ids(self) -> Sequence[str]: ...

    @property
    def stamps(self) -> Sequence[str]: ...

    def __len__(self) -> int: ...


P = TypeVar("P", bound=StoredItems)


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How well items are found.

    Attributes:
        kind: the kind of index.
        how: exactly, or with which recall.
        milliseconds: of one query, the median.
    """

    kind: str
    how: str
    milliseconds: float


class Writer(ABC, Generic[P]):
    """Where `mmft index` brings embeddings. Its length is the number of items.

    Attributes:
        identity: the model that its vectors come from.
    """

    identity: Identity

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def parts(self) -> Iterator[P]:
        """All items that are kept. Dropping some of a part meanwhile does not disturb the next."""

    @abstractmethod
    def keep(self, part: P, mask: Mask) -> None:
        """Drop all items of a part but those of a mask (n,)."""

    @abstractmethod
    def append(self, items: Items) -> None:
        """Keep items for good: a process that is killed afterwards does not lose them.

        Raises:
            StorageError: that is not possible.
        """

    @abstractmethod
    def finish(self, say: Callable[[str], None]) -> Quality | None:
        """Make all items findable, close it, and say how well they are found; None if empty.

        Args:
            say: called with words on what takes long.
        """


@dataclass(frozen=True)
class Hit:
    """An item that was found; `score` is its cosine similarity with the query.

    `key` is the index's own name for it.
    """

    id: str
    score: float
    key: str


@dataclass(frozen=True)
class Found:
    """What an index has of an item.

    Attributes:
        id: of the item; its path, where items are files.
        stamp: a text that changes when the item does; see `Library.stamps`.
        preview: how to show it; None where its file can be shown.
    """

    id: str
    stamp: str
    preview: Preview | None


class Index(ABC):
    """Where `mmft search` looks. Its length is the number of items.

    Attributes:
        identity: the model that its vectors come from.
        how: how items are found, in words.
    """

    identity: Identity
    how: str

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def search(self, vector: np.ndarray[Any, Any], number: int) -> list[Hit]:
        """The items closest to a vector (D,), closest first."""

    @abstractmethod
    def item(self, key: str) -> Found | None:
        """An item by its key; None if there is none."""

    def close(self) -> None:
        """Close it, so that another process can open what only one can have open."""
        return


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an index is.

    Attributes:
        folder: of the index.
        identity: the model that its vectors come from.
    """

    folder: Path
    identity: Identity

    @property
    def files(self) -> Path:
        """The folder for the store's own files, the only one that it may write. It need not exist,
        and is removed when an index is made anew.
        """
        return self.folder / FILES


class Store(ABC):
    """Keeps one index. Making it opens and writes nothing.

    Attributes:
        options: those that the folder of the index remembers, to open it with: None for the ones
            that the store was given, or more if some follow from the place.
    """

    options: Any = None

    @property
    @abstractmethod
    def where(self) -> str:
        """Where the embeddings are, in words: "Qdrant at https://host". Options that change this
        are those of another index.
        """

    def clear(self, before: Any | None) -> None:
        """Make way for an empty index outside of its folder, as on a server.

        Args:
            before: options of the index that the folder had in such a store; None if it had none.
                Only this one may be removed.

        Raises:
            RunDirectoryError: there is another index.
        """
        return

    @abstractmethod
    def writer(self) -> Writer[Any]:
        """Open the index to add to it; a new one is empty.

        Raises:
            RunDirectoryError: it is damaged, or another process has it.
            StorageError: it cannot be reached.
        """

    @abstractmethod
    def index(self, *, exact: bool = False) -> Index:
        """Open the index to search it.

        Args:
            exact: compare with every item, where a search would look at some only.

        Raises:
            RunDirectoryError: it is empty, unfinished or damaged.
            StorageError: it cannot be reached.
        """
