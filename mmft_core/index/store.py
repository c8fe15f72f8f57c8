"""Vectors with their ids on disk.

A store is a folder: `store.json` says of which model its vectors are, and `vectors/` holds them in
Arrow files of a few thousand each. A file is written once, whole, and memory-mapped to be read, so
a killed process loses the vectors of one file at most, and a library may exceed memory.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout

from mmft_core.contracts import Preview
from mmft_core.errors import RunDirectoryError, first_line
from mmft_core.files import clear_temporaries, replacing, storage_errors, write_json
from mmft_core.labelled_files import printable

Vectors: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]
Mask: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]

FORMAT = 1
_STORE, _FOLDER = "store.json", "vectors"
DERIVED = ("nearest",)
"""Folders beside it that are made of it."""
_LOCK = ".lock"
_LIBRARY, _FILES = b"library", b"files"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Of what model a store's vectors are.

    Attributes:
        model: digest of the model's files.
        run: the run's folder, to be named in messages.
        modality: what is embedded.
    """

    model: str
    run: str
    modality: str


@dataclass(frozen=True, kw_only=True)
class Items:
    """Vectors to be kept, a row for each item.

    Attributes:
        library: what they belong to.
        files: whether ids are paths; else they are unique in their library only.
        ids: of the items.
        stamps: that change when the item does.
        vectors: (n, D) float32, of length one.
        previews: how to show an item; None where its id names a file that can.
    """

    library: str
    files: bool
    ids: Sequence[str]
    stamps: Sequence[str]
    vectors: Vectors
    previews: Sequence[Preview | None]


class Shard:
    """One file of a store, memory-mapped.

    Raises:
        OSError, ValueError, KeyError: it is damaged.
    """

    def __init__(self, file: Path) -> None:
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


class VectorStore:
    """The vectors of one model's items. A position counts them through all shards."""

    def __init__(self, folder: Path, identity: Identity, shards: Sequence[Shard]) -> None:
        self.folder, self.identity, self.shards = folder, identity, list(shards)

    @classmethod
    def create(cls, folder: Path, identity: Identity) -> VectorStore:
        """Begin an empty store, in place of what is there of another.

        Raises:
            StorageError: it cannot be written.
        """
        with storage_errors(folder):
            clear_temporaries(folder)
            for name in (_FOLDER, *DERIVED):
                shutil.rmtree(folder / name, ignore_errors=True)
        write_json(folder / _STORE, {"format": FORMAT, **asdict(identity)})
        return cls(folder, identity, [])

    @staticmethod
    def exists(folder: Path) -> bool:
        return (folder / _STORE).is_file()

    @staticmethod
    @contextmanager
    def locked(folder: Path) -> Iterator[None]:
        """Keep other processes from writing to a store, or to the place of a new one.

        Raises:
            RunDirectoryError: another one does, or there is something else in the folder.
            StorageError: the folder cannot be written.
        """
        known = {_STORE, _FOLDER, *DERIVED}
        found = (e.name for e in folder.glob("*")) if folder.is_dir() else ()
        strange = [name for name in found if name not in known and not name.startswith(".")]
        if strange:
            raise RunDirectoryError(
                f"{folder} holds {printable(strange[0])}, and is no index.",
                hint="Choose another --output.",
            )
        lock = FileLock(folder / _LOCK)
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                raise RunDirectoryError(
                    f"Another process is writing to the index in {folder}.",
                    hint="Wait for it, or choose another --output.",
                ) from None
        try:
            yield
        finally:
            lock.release()

    @classmethod
    def open(cls, folder: Path, *, mend: bool = False) -> VectorStore:
        """Open a store.

        Args:
            mend: remove damaged files, so that what they held is embedded again.

        Raises:
            RunDirectoryError: there is none, or it is damaged.
        """
        if not cls.exists(folder):
            raise RunDirectoryError(
                f"There is no index in {folder}.", hint="`mmft index RUN_DIR LIBRARY` makes one."
            )
        try:
            content = json.loads((folder / _STORE).read_text(encoding="utf-8"))
            if content.pop("format") != FORMAT:
                raise ValueError("another version of mmft made it")
            identity = msgspec.convert(content, Identity)
        except (
            OSError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            RecursionError,
        ) as error:
            raise RunDirectoryError(
                f"{folder / _STORE} cannot be read: {first_line(error)}.",
                hint=f"Remove {folder} and run `mmft index` again.",
            ) from error
        if mend:
            clear_temporaries(folder)
            clear_temporaries(folder / _FOLDER)
        files = sorted((folder / _FOLDER).glob("*.arrow"))
        shards = [_open(file, mend) for file in files]
        return cls(folder, identity, [shard for shard in shards if shard is not None])

    def __len__(self) -> int:
        return sum(map(len, self.shards))

    @property
    def width(self) -> int:
        """D, the length of its vectors; 0 as long as there are none."""
        return self.shards[0].vectors.shape[1] if self.shards else 0

    @property
    def contents(self) -> list[tuple[str, int]]:
        """Name and length of each file: what an index of all of them is an index of."""
        return [(shard.file.name, len(shard)) for shard in self.shards]

    def append(self, items: Items) -> None:
        """Write items as one more file.

        Raises:
            StorageError: it cannot be written.
        """
        last = int(self.shards[-1].file.stem.partition("-")[0]) if self.shards else 0
        # A name is never used twice, for by their names an index knows what it is of.
        file = self.folder / _FOLDER / f"{last + 1:08}-{secrets.token_hex(4)}.arrow"
        _write(file, items)
        self.shards.append(Shard(file))

    def keep(self, shard: Shard, mask: Mask) -> None:
        """Drop all items of a shard but those of a mask (n,)."""
        if mask.any():
            # A new name: who has the old file mapped goes on reading it.
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


def _open(file: Path, mend: bool) -> Shard | None:
    try:
        return Shard(file)
    except (OSError, ValueError, KeyError) as error:  # pa.ArrowException is one of these.
        if mend:
            file.unlink()
            return None
        raise RunDirectoryError(
            f"{file} is damaged.",
            hint="Run `mmft index` again, with the same library: it embeds what was lost.",
        ) from error


def _write(file: Path, items: Items) -> None:
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
    with (
        replacing(file) as temporary,
        pa.OSFile(str(temporary), "wb") as stream,
        pa.ipc.new_file(stream, table.schema) as writer,
    ):
        writer.write_table(table)
