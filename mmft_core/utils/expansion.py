"""Limits for the unpacked size of archives, because kilobytes can unpack to any size."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmft_core.errors import DataError

FREE = 256 * 2**20
"""Bytes that any file may unpack to."""

RATIO = 200
"""How many times its size a file may unpack to. Tables reach 20, deflate cannot exceed 1,032."""


_HINT = "If that is intended, unpack it yourself and give the result."


def most_unpacked(path: Path, free: int | None = None) -> int:
    """The bytes that a packed file may unpack to.

    Args:
        free: bytes that any file may unpack to; None for `FREE`.
    """
    return max(FREE if free is None else free, RATIO * path.stat().st_size)


def check_expansion(path: Path, size: int, *, free: int | None = None, hint: str = _HINT) -> None:
    """Check the unpacked size of a file.

    Args:
        free: bytes that any file may unpack to; None for `FREE`.

    Raises:
        DataError: it is out of all proportion to the file's.
    """
    most = most_unpacked(path, free)
    if size > most:
        raise DataError(
            f"{path} was not unpacked: its {path.stat().st_size:,} bytes would become more than "
            f"{most:,}.",
            hint=hint,
        )


class Unpacked(io.BufferedIOBase):
    """The content of a packed file, up to the size that such a file may unpack to.

    Its methods raise DataError if there is more.
    """

    def __init__(self, path: Path, open_packed: Callable[[Path], Any]) -> None:
        """Args:
        open_packed: opens a file to read its content, such as `gzip.open`.
        """
        self._path, self._most, self._stream = path, most_unpacked(path), open_packed(path)

    def read(self, size: int | None = -1, /) -> bytes:
        return self._checked(self._stream.read, size)

    def read1(self, size: int = -1, /) -> bytes:
        return self._checked(self._stream.read1, size)

    def peek(self, size: int = 0, /) -> bytes:
        found: bytes = self._stream.peek(size)
        return found

    def _checked(self, read: Callable[[int], bytes], size: int | None) -> bytes:
        left = self._most + 1 - self._stream.tell()
        content = read(left if size is None or size < 0 or size > left else size)
        check_expansion(self._path, self._stream.tell())
        return content

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, place: int, whence: int = io.SEEK_SET, /) -> int:
        reached = int(self._stream.seek(place, whence))
        check_expansion(self._path, reached)
        return reached

    def tell(self) -> int:
        return int(self._stream.tell())

    def close(self) -> None:
        self._stream.close()
        super().close()
