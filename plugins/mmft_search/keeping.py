"""What keeps an index: FAISS beside a folder's files, or Qdrant. Both do what stands here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from mmft_core.contracts import Preview
from mmft_search.items import Identity, Items, Mask


class Part(Protocol):
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


P = TypeVar("P", bound=Part)


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How well items are found.

    Attributes:
        kind: of index.
        how: exactly, or with what recall.
        milliseconds: median, of one query.
    """

    kind: str
    how: str
    milliseconds: float


class Store(ABC, Generic[P]):
    """Where `mmft index` brings embeddings. Its length is the number of items."""

    identity: Identity

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def parts(self) -> Iterator[P]:
        """All that is kept. What is dropped of a part meanwhile does not disturb the next."""

    @abstractmethod
    def keep(self, part: P, mask: Mask) -> None:
        """Drop all items of a part but those of a mask (n,)."""

    @abstractmethod
    def append(self, items: Items) -> None:
        """Keep items, for good: whoever is killed afterwards does not lose them.

        Raises:
            StorageError: that is not possible.
        """

    @abstractmethod
    def finish(self, kind: str, say: Callable[[str], None]) -> Quality | None:
        """Make everything findable, and say how well it is found; None of nothing.

        Args:
            kind: of index, "auto" to go by size.
            say: told what takes long.
        """


@dataclass(frozen=True)
class Hit:
    """An item that was found; `score` is its cosine similarity with the query.

    `key` is by what its index knows it.
    """

    id: str
    score: float
    key: str


@dataclass(frozen=True)
class Found:
    """What an index has of an item.

    Attributes:
        id: of the item; its path, where items are files.
        stamp: that changes when the item does; see `Library.stamps`.
        preview: how to show it; None where its file can.
    """

    id: str
    stamp: str
    preview: Preview | None


class Index(ABC):
    """Where `mmft search` looks. Its length is the number of items.

    Attributes:
        identity: of what model its vectors are.
        how: how items are found, in words.
    """

    identity: Identity
    how: str

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def search(self, vector: np.ndarray[Any, Any], number: int) -> list[Hit]:
        """The items nearest to a vector (D,), the nearest first."""

    @abstractmethod
    def item(self, key: str) -> Found | None:
        """An item by its key; None if there is none."""

    def close(self) -> None:
        """Let go of it, for another to open what one alone can have open."""
        return
