"""Whether an audio file holds what its header promises: libsndfile plays what there is."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO, NamedTuple

_LENIENT = 64
"""Bytes that may be missing: some writers count their header in."""

_STREAMED = range(0x7FFF_F000, 0x8000_1000)
"""What programs write for the size of a stream, beside 0 and 0xFFFFFFFF: 2 GiB or so."""

_OGG_PAGE = 65_307
"""The largest page of an Ogg file, in bytes."""

_LAST_PAGE = 4
"""The flag of an Ogg page that ends its stream."""


class DataChunk(NamedTuple):
    """Where a WAV file holds its samples.

    Attributes:
        size_at: the byte at which their size is written.
        start: their first byte.
        size: in bytes, as written; None if the header leaves it open, as of a stream.
    """

    size_at: int
    start: int
    size: int | None


def shortfall(file: BinaryIO) -> str | None:
    """What is missing of a file, as a reason; None if it is whole as far as its header tells.

    Raises:
        OSError: it cannot be read.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    form = file.read(4)
    if form in (b"RIFF", b"RF64"):
        return _wav_shortfall(data_chunk(file), size)
    return _ogg_shortfall(file, size) if form == b"OggS" else None


def data_chunk(file: BinaryIO) -> DataChunk | None:
    """Find the samples of a WAV file; None if it is none or ends before them."""
    file.seek(0)
    form = file.read(12)
    if form[:4] not in (b"RIFF", b"RF64") or form[8:] != b"WAVE":
        return None
    long_size: int | None = None
    while len(head := file.read(8)) == 8:
        name, size = head[:4], struct.unpack("<I", head[4:])[0]
        here = file.tell()
        if name == b"ds64" and len(sizes := file.read(16)) == 16:  # Of files above 4 GiB.
            long_size = struct.unpack("<QQ", sizes)[1]
        if name == b"data":
            open_ended = size in (0, 0xFFFF_FFFF) or size in _STREAMED
            return DataChunk(here - 4, here, long_size or (None if open_ended else size))
        file.seek(here + size + size % 2)
    return None


def _wav_shortfall(chunk: DataChunk | None, size: int) -> str | None:
    if chunk is None or chunk.size is None or chunk.start + chunk.size <= size + _LENIENT:
        return None
    return (
        f"it is cut short: its header promises {chunk.size:,} bytes of audio, and "
        f"{max(0, size - chunk.start):,} are there"
    )


def _ogg_shortfall(file: BinaryIO, size: int) -> str | None:
    """Look for the last page, whether it is whole and the end of its stream."""
    file.seek(max(0, size - 2 * _OGG_PAGE))
    tail = file.read()
    at = tail.rfind(b"OggS\0")
    page = tail[at:] if at >= 0 else b""
    if len(page) > 27 and page[5] & _LAST_PAGE:
        segments = page[26]
        if len(page) >= 27 + segments + sum(page[27 : 27 + segments]):
            return None
    return "it is cut short: the last page of its stream is missing"
