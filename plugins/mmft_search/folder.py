"""The folder of an index: its record, and the lock that lets one process write at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock, Timeout

from mmft_core.errors import RunDirectoryError, first_line
from mmft_core.utils import clear_temporaries, printable, storage_errors, write_json
from mmft_search.items import Identity

FORMAT = 2
DEFAULT_STORE = "search/faiss"
VECTORS, NEAREST, QDRANT, FILES = "vectors", "nearest", "qdrant", "files"
_PARTS = (VECTORS, NEAREST, QDRANT, FILES)
"""Its folders: Arrow files, the FAISS index made of them, Qdrant's own files, any other store's."""
_RECORD, _LOCK = "store.json", ".lock"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The store that keeps an index.

    Attributes:
        name: of the store.
        options: those that are not its defaults.
        package: the package to install for it.
    """

    name: str = DEFAULT_STORE
    options: dict[str, Any] = field(default_factory=dict)
    package: str = ""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a folder says about its index: the model that it is of, and the store that keeps it."""

    identity: Identity
    store: Kept = field(default_factory=Kept)


def exists(folder: Path) -> bool:
    return (folder / _RECORD).is_file()


def read(folder: Path) -> Record:
    """Raises:
    RunDirectoryError: there is no index, or it is damaged.
    """
    if not exists(folder):
        raise RunDirectoryError(
            f"There is no index in {folder}.", hint="`mmft index RUN_DIR LIBRARY` makes one."
        )
    try:
        content = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        if content["format"] not in (1, FORMAT):
            raise ValueError("another version of mmft made it")
        identity = msgspec.convert(content, Identity)
        former = _kept_before(content.get("qdrant"))
        kept = former if content["format"] == 1 else msgspec.convert(content["store"], Kept)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise RunDirectoryError(
            f"{folder / _RECORD} cannot be read: {first_line(error)}.",
            hint=f"Remove {folder} and run `mmft index` again.",
        ) from error
    return Record(identity=identity, store=kept)


def recorded(folder: Path) -> Kept | None:
    """What keeps the index that is there, if there is one."""
    with suppress(RunDirectoryError):
        return read(folder).store
    return None


def _kept_before(qdrant: Any) -> Kept:
    """What keeps an index of mmft 0.1, which named a collection of Qdrant or nothing, for FAISS."""
    if qdrant is None:
        return Kept()
    url, name = msgspec.convert((qdrant["url"], qdrant["name"]), tuple[str, str])
    # Files in a folder hold one collection, which is not chosen.
    return Kept(name="search/qdrant", options={"url": url, "collection": name} if url else {})


def begin(folder: Path, record: Record) -> None:
    """Begin an empty index, in place of any other that is there.

    Raises:
        StorageError: it cannot be written.
    """
    with storage_errors(folder):
        clear_temporaries(folder)
        for name in _PARTS:
            shutil.rmtree(folder / name, ignore_errors=True)
    write(folder, record)


def write(folder: Path, record: Record) -> None:
    """Raises:
    StorageError: it cannot be written.
    """
    content = {"format": FORMAT, **asdict(record.identity), "store": asdict(record.store)}
    write_json(folder / _RECORD, content)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from writing to an index, or to the place of a new one.

    Raises:
        RunDirectoryError: another one does, or there is something else in the folder.
        StorageError: the folder cannot be written.
    """
    known = {_RECORD, *_PARTS}
    found = (e.name for e in folder.glob("*")) if folder.is_dir() else ()
    strange = [name for name in found if name not in known and not name.startswith(".")]
    if strange:
        raise RunDirectoryError(
            f"{folder} holds {printable(strange[0])}, and is not an index.",
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
