"""Pictures of other than 8 bits, as files that Pillow cannot write itself."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

Values = np.ndarray[Any, Any]

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


def write_png(path: Path, values: Values, exif: bytes = b"") -> None:
    """Write (H, W) or (H, W, C) uint16 as a PNG of 16 bits (ISO/IEC 15948)."""
    values = np.atleast_3d(values)
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPES[channels], 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    if exif:
        chunks.insert(1, (b"eXIf", exif))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_tiff(
    path: Path,
    values: Values,
    *,
    order: str = "<",
    deflated: bool = False,
    orientation: int = 1,
    photometric: int | None = None,
    planar: bool = False,
    no_data: str | None = None,
) -> None:
    """Write (H, W) or (H, W, C) of any type as a TIFF of one strip (TIFF 6.0).

    Args:
        order: "<" for little-endian, ">" for big-endian.
        planar: say that there is a plane for each channel, and write them so.
        no_data: the tag by which GDAL says which value stands for no data.
    """
    values = np.atleast_3d(values)
    height, width, channels = values.shape
    laid = np.moveaxis(values, 2, 0) if planar else values
    data = laid.astype(values.dtype.newbyteorder(order)).tobytes()
    data = zlib.compress(data) if deflated else data
    bits = 8 * values.dtype.itemsize
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    if photometric is None:
        photometric = 2 if channels > 2 else 1
    starts = [8, *(8 + k * (len(data) // channels) for k in range(1, channels))]
    tags: list[tuple[int, str, list[int]]] = [
        (256, "I", [width]),
        (257, "I", [height]),
        (258, "H", [bits] * channels),
        (259, "H", [8 if deflated else 1]),
        (262, "H", [photometric]),
        (273, "I", starts if planar else [8]),
        (274, "H", [orientation]),
        (277, "H", [channels]),
        (278, "I", [height]),
        (279, "I", [len(data) // channels] * channels if planar else [len(data)]),
        (284, "H", [2 if planar else 1]),
        (339, "H", [kind] * channels),
    ]
    if channels in (2, 4):
        tags.insert(-1, (338, "H", [2]))
    if no_data is not None:
        tags.append((42113, "B", list(no_data.encode("ascii") + b"\0")))
    path.write_bytes(_tiff(order, data, tags))


def _tiff(order: str, data: bytes, tags: list[tuple[int, str, list[int]]]) -> bytes:
    data += b"\0" * (len(data) % 2)
    directory, beyond = 8 + len(data), b""
    end = directory + 2 + 12 * len(tags) + 4
    entries = b""
    for number, form, numbers in tags:
        content = struct.pack(f"{order}{len(numbers)}{form}", *numbers)
        entries += struct.pack(f"{order}HHI", number, {"B": 2, "H": 3, "I": 4}[form], len(numbers))
        if len(content) > 4:
            entries += struct.pack(f"{order}I", end + len(beyond))
            beyond += content
        else:
            entries += content.ljust(4, b"\0")
    start = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, directory)
    return start + data + struct.pack(f"{order}H", len(tags)) + entries + b"\0" * 4 + beyond
