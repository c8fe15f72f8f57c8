"""Unpacking archives of data: once, as a whole or not at all, and only into one folder."""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import hashlib
import lzma
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mmft_core.errors import DataError, StorageError, first_line
from mmft_core.utils import Unpacked, cache_root, check_expansion, filled_folder

_SPARE = 256 * 2**20
"""Bytes of the disk that stay free."""

_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)
"""The errors for folders that may not be written to."""

_COMPRESSED = {b"\x1f\x8b": gzip.GzipFile, b"BZh": bz2.BZ2File, b"\xfd7zXZ\0": lzma.LZMAFile}
"""What opens compressed files, by their first bytes."""

_DAMAGED = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError)


def unpacked(archive: Path, folder: Path, inner: str = "") -> Path:
    """The folder of an archive's content: beside it, or in the user's cache if nothing can be
    written there.

    Args:
        archive: a tar, compressed or not.
        folder: the folder to make for its content.
        inner: which folder of the archive is wanted; "" for all of it.

    Raises:
        DataError: the archive is damaged, or not safe, or holds no such folder.
        StorageError: there is too little room for it.
    """

    def fill(place: Path) -> None:
        _extract(archive, place)
        if not (place / inner).is_dir():
            raise DataError(f"The archive {archive} holds no folder {inner}.")

    try:
        return filled_folder(folder, fill, inner)
    except StorageError as error:
        cause = error.__cause__
        if not (isinstance(cause, OSError) and cause.errno in _CLOSED):
            raise
    return filled_folder(_cached(archive, inner), fill, inner)


def _cached(archive: Path, inner: str) -> Path:
    status = archive.stat()
    recipe = (str(archive.absolute()), status.st_size, status.st_mtime_ns, inner)
    return cache_root() / f"unpacked-{hashlib.sha256(repr(recipe).encode()).hexdigest()[:16]}"


def _extract(archive: Path, into: Path) -> None:
    try:
        with open_tar(archive) as content:
            whole = 0
            for member in _safe(content, archive):
                whole += member.size  # Of files with holes, more than the archive holds.
                check_expansion(archive, whole)
                need_room(archive, member.size, into.parent)
                content.extract(member, into, filter="data")
            _check_whole(content)
    except tarfile.FilterError as error:
        raise _unsafe(archive, first_line(error)) from None
    except _DAMAGED as error:
        raise _damaged(archive, error) from None
    except OSError as error:
        if error.errno is not None:  # Of the disk; gzip raises others, without a number.
            raise
        raise _damaged(archive, error) from None


@contextlib.contextmanager
def open_tar(archive: Path) -> Iterator[tarfile.TarFile]:
    """Open a tar, compressed or not, by its content. Reading it raises DataError if it holds more
    than such a file may.

    Raises:
        OSError, tarfile.TarError, EOFError, zlib.error, LZMAError: it cannot be read.
    """
    with archive.open("rb") as packed:
        start = packed.read(6)
    kinds = (k for mark, k in _COMPRESSED.items() if start.startswith(mark))
    with (
        Unpacked(archive, next(kinds, partial(Path.open, mode="rb"))) as stream,
        tarfile.open(fileobj=stream, mode="r:") as content,
    ):
        yield content


def _safe(content: tarfile.TarFile, archive: Path) -> Iterator[tarfile.TarInfo]:
    """Yield files and folders.

    Data sets need no links, by which an archive could reach out of its folder.
    """
    for member in content:
        if not (member.isfile() or member.isdir()):
            raise _unsafe(archive, f"'{member.name}' is neither a file nor a folder")
        yield member


def need_room(archive: Path, size: int, place: Path) -> None:
    """Check that a disk has room for an archive's content.

    Raises:
        StorageError: it has not.
    """
    free = shutil.disk_usage(place).free
    if size + _SPARE > free:
        raise StorageError(
            f"There is too little room to unpack {archive}: {free / 1e9:.1f} GB are left on the "
            f"disk of {place}.",
            hint="Free some, or unpack it elsewhere and give that folder.",
        )


def _check_whole(content: tarfile.TarFile) -> None:
    """Raises:
    EOFError, OSError: the archive ends before its mark, or has another checksum.
    """
    stream = content.fileobj
    assert stream is not None
    if stream.tell() <= content.offset:
        raise EOFError("it ends without the mark of its end")
    while stream.read(1 << 20):  # gzip compares checksums at the end.
        pass


def _unsafe(archive: Path, reason: str) -> DataError:
    return DataError(
        f"The archive {archive} is not unpacked: {reason.rstrip('.')}.",
        hint="Take it from where it is published.",
    )


def _damaged(archive: Path, error: BaseException) -> DataError:
    return DataError(
        f"The archive {archive} is damaged or cut short: {first_line(error).rstrip('.')}.",
        hint="Download it again.",
    )
