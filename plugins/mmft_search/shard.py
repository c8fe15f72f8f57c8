"""A few thousand vectors with their ids in an Arrow file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmft_core.contracts import Preview
from mmft_core.errors import RunDirectoryError
from mmft_core.utils import check_seal, replacing, sealed_name
from mmft_search.items import Items, Mask, Vectors

_LIBRARY, _FILES = b"library", b"files"


class Shard:
    """One file of a store, memory-mapped.

    Raises:
        OSError, ValueError, KeyError: it is damaged.
    """

    def __init__(self, file: Path) -> None:
        check_seal(file)
        self.file = file
        with pa.memory_map(str(file)) as source:
            table = pa.ipc.open_file(source).read_all().combine_chunks()
        self.library = table.schema.metadata[_LIBRARY].decode()
        self.files = table.schema.metadata[_FILES] == b"yes"
        self._columns = {name: table.column(name) for name in ("id", "stamp", "mime", "preview")}
        vectors = table.column("vector")
        flat = vectors.chunk(0).flatten().to_numpy(zero_copy_only=True)
        self.vectors: Vectors = flat.reshape(len(table), vectors.type.list_size)

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def ids(self) -> list[str]:
        return [os.fsdecode(item) for item in self._list("id")]

    @property
    def stamps(self) -> list[str]:
        return self._list("stamp")

    def id(self, row: int) -> str:
        return os.fsdecode(self._columns["id"][row].as_py())

    def stamp(self, row: int) -> str:
        return str(self._columns["stamp"][row].as_py())

    def preview(self, row: int) -> Preview | None:
        mime = self._columns["mime"][row].as_py()
        return None if mime is None else Preview(mime, self._columns["preview"][row].as_py())

    def kept(self, keep: Mask) -> Items:
        """Some of its items."""
        rows = np.flatnonzero(keep).tolist()
        ids, stamps = self.ids, self.stamps
        return Items(
            library=self.library,
            files=self.files,
            ids=[ids[row] for row in rows],
            stamps=[stamps[row] for row in rows],
            vectors=self.vectors[keep],
            previews=[self.preview(row) for row in rows],
        )

    def _list(self, column: str) -> list[Any]:
        found: list[Any] = self._columns[column].to_pylist()
        return found


def open_shard(file: Path, mend: bool) -> Shard | None:
    """Open a file. With `mend`, a damaged one is removed and gives None.

    Raises:
        RunDirectoryError: it is damaged, without `mend`.
    """
    try:
        return Shard(file)
    except (OSError, ValueError, KeyError) as error:  # pa.ArrowException is one of these.
        if mend:
            file.unlink()
            return None
        raise RunDirectoryError(
            f"{file} is damaged.",
            hint="Run `mmft index` again, with the same library: it embeds again what was lost.",
        ) from error


def write_shard(file: Path, items: Items) -> Path:
    """Write items to a file, to whose name their digest is added.

    Raises:
        StorageError: it cannot be written.
    """
    width = items.vectors.shape[1]
    flat = pa.array(np.ascontiguousarray(items.vectors, np.float32).reshape(-1))
    table = pa.table(
        {
            # As the system has them: a file's name need not be UTF-8.
            "id": pa.array([os.fsencode(item) for item in items.ids], pa.binary()),
            "stamp": pa.array(items.stamps, pa.string()),
            "vector": pa.FixedSizeListArray.from_arrays(flat, width),
            "mime": pa.array([p and p.mime for p in items.previews], pa.string()),
            "preview": pa.array([p and p.data for p in items.previews], pa.binary()),
        }
    ).replace_schema_metadata(
        {_LIBRARY: items.library.encode(), _FILES: b"yes" if items.files else b"no"}
    )
    content = pa.BufferOutputStream()
    with pa.ipc.new_file(content, table.schema) as writer:
        writer.write_table(table)
    written = content.getvalue()
    sealed = sealed_name(file, hashlib.sha256(written).hexdigest())
    with replacing(sealed) as temporary:
        temporary.write_bytes(written)
    return sealed
