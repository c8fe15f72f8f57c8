"""Opening the files of tables as text: unpacked, decoded, and refused if they are not text."""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TextIO, cast

from mmft_core.errors import DataError
from mmft_core.utils import Unpacked, suffix_of

_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
"""Byte order marks, the longer ones first."""

_OTHERS = (
    (b"\x1f\x8b", "compressed by gzip", "Add .gz to its name."),
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "Unpack it, or name it .xlsx."),
    (b"PAR1", "a Parquet file", "Name it .parquet."),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)", "Save it as .xlsx or as CSV."),
)
"""How files begin that are not text, what they are, and what to do."""


@contextlib.contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open a text file, unpacked if its name ends in .gz, with line ends as they are.

    Its encoding is UTF-8, or UTF-16 or UTF-32 if its first bytes say so.

    Raises:
        DataError: it cannot be read, is not text, or has another encoding; names the line.
    """
    try:
        with _open_bytes(path) as raw:
            head = raw.read(4)
            _refuse_others(path, head)
            raw.seek(0)
            yield io.TextIOWrapper(raw, encoding=_encoding(head), newline="")
    except UnicodeDecodeError as error:
        raise _not_decodable(path, error) from None
    except gzip.BadGzipFile:
        raise DataError(
            f"{path} is not compressed by gzip.",
            hint="Remove .gz from its name, or compress it.",
        ) from None
    except (EOFError, zlib.error) as error:
        raise DataError(
            f"{path} cannot be unpacked: {error}.", hint="Is the file whole? Copy it again."
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None


def _open_bytes(path: Path) -> IO[bytes]:
    if suffix_of(path).endswith(".gz"):
        return cast("IO[bytes]", Unpacked(path, gzip.GzipFile))
    return path.open("rb")


def _refuse_others(path: Path, head: bytes) -> None:
    for start, what, hint in _OTHERS:
        if head.startswith(start):
            raise DataError(f"{path} is not text: it is {what}.", hint=hint)


def _encoding(head: bytes) -> str:
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    if len(head) == 4 and head[1] == head[3] == 0 and head[0] and head[2]:
        return "utf-16-le"
    if len(head) == 4 and head[0] == head[2] == 0 and head[1] and head[3]:
        return "utf-16-be"
    return "utf-8"


def _not_decodable(path: Path, error: UnicodeDecodeError) -> DataError:
    """The error for a file that cannot be decoded; names the line."""
    if not error.encoding.startswith("utf-8"):
        return DataError(
            f"{path} cannot be decoded as {error.encoding}: {error.reason}.",
            hint="Save it as UTF-8.",
        )
    with _open_bytes(path) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as found:
                return DataError(
                    f"{path}, line {number}: byte {line[found.start]:#04x} is not UTF-8.",
                    hint="Save it as UTF-8: `iconv -f latin1 -t utf-8 OLD > NEW`, where latin1 "
                    "stands for what it is now.",
                )
    return DataError(f"{path} is not UTF-8.", hint="Save it as UTF-8.")
