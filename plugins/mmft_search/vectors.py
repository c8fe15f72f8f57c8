"""Vectors with their ids on disk.

A store is a folder: `store.json` says which model its vectors come from, and `vectors/` holds
them in Arrow files of a few thousand each. A file is written once, whole, and memory-mapped to be
read, so a killed process loses the vectors of one file at most, and a library may exceed memory.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from mmft_core.utils import clear_temporaries
from mmft_search import folder as folders
from mmft_search.items import Identity, Items, Mask
from mmft_search.shard import Shard, open_shard, write_shard


class VectorStore:
    """The vectors of one model's items. Positions count them through all shards."""

    def __init__(self, folder: Path, identity: Identity, shards: Sequence[Shard]) -> None:
        self.folder, self.identity, self.shards = folder, identity, list(shards)

    @classmethod
    def create(cls, folder: Path, identity: Identity) -> Self:
        """Begin an empty store, in place of one that is there.

        Raises:
            StorageError: it cannot be written.
        """
        folders.begin(folder, folders.Record(identity=identity))
        return cls(folder, identity, [])

    @classmethod
    def open(cls, folder: Path, *, mend: bool = False) -> Self:
        """Open a store.

        Args:
            mend: remove damaged files, so that what they held is embedded again.

        Raises:
            RunDirectoryError: there is none, or it is damaged.
        """
        identity = folders.read(folder).identity
        if mend:
            clear_temporaries(folder)
            clear_temporaries(folder / folders.VECTORS)
        files = sorted((folder / folders.VECTORS).glob("*.arrow"))
        shards = [open_shard(file, mend) for file in files]
        return cls(folder, identity, [shard for shard in shards if shard is not None])

    def __len__(self) -> int:
        return sum(map(len, self.shards))

    @property
    def width(self) -> int:
        """D, the length of its vectors; 0 as long as there are none."""
        return self.shards[0].vectors.shape[1] if self.shards else 0

    @property
    def contents(self) -> list[tuple[str, int]]:
        """Name and length of each file, by which an index knows what it was built from."""
        return [(shard.file.name, len(shard)) for shard in self.shards]

    def append(self, items: Items) -> None:
        """Write items as one more file.

        Raises:
            StorageError: it cannot be written.
        """
        last = int(self.shards[-1].file.stem.partition("-")[0]) if self.shards else 0
        # A name is never used twice: an index knows by the names what it was built from.
        file = self.folder / folders.VECTORS / f"{last + 1:08}-{secrets.token_hex(4)}.arrow"
        self.shards.append(Shard(write_shard(file, items)))

    def keep(self, shard: Shard, mask: Mask) -> None:
        """Drop all items of a shard but those of a mask (n,)."""
        if mask.any():
            # A new name, because processes may still read the old file, which they have mapped.
            self.append(shard.kept(mask))
        self.shards.remove(shard)
        shard.file.unlink(missing_ok=True)

    def locate(self, position: int) -> tuple[Shard, int]:
        """The shard of an item, and its row in it."""
        ends = self.ends
        number = int(np.searchsorted(ends, position, side="right"))
        return self.shards[number], position - int(ends[number]) + len(self.shards[number])

    @property
    def ends(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """(S,) the position behind the last item of each shard."""
        return np.cumsum([len(shard) for shard in self.shards])
