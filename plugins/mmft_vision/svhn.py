"""SVHN's MATLAB 5 files, as they are published (Netzer et al., 2011).

scipy reads them. It makes arrays and executes nothing, whatever objects and functions are stored in
them. Only arrays of bytes are read, after a check of how large they unpack.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmft_core.utils import check_expansion
from mmft_vision.read_arrays import AbsentError, Arrays, ArraySplit

_BEGIN, _HEADER, _COMPRESSED = b"MATLAB 5.0 MAT-file", 128, 15
_BLOCK = 1 << 20


def read_svhn(root: Path, files: Mapping[str, tuple[str, str]]) -> Arrays:
    """Read SVHN's pictures of 32x32 pixels.

    Args:
        files: the name of the file and its published MD5 checksum, for each split.

    Raises:
        AbsentError: a file is not there.
        ValueError: a file is damaged, or holds something else.
        DataError: a file would unpack to far too much for its size.
        OSError, zlib.error: a file cannot be read or unpacked.
    """
    for name, _ in files.values():
        if not (root / name).is_file():
            raise AbsentError(f"{name} is not there")
    parts, notes = {}, []
    for split, (name, md5) in files.items():
        parts[split] = _part(root / name)
        with (root / name).open("rb") as stream:
            if hashlib.file_digest(stream, "md5").hexdigest() != md5:
                notes.append(f"{name} is readable, but its checksum is not the published one")
    return Arrays(parts, tuple("0123456789"), tuple(notes))


def _part(file: Path) -> ArraySplit:
    from scipy.io import loadmat, whosmat

    _check_size(file)
    found = {name: (shape, kind) for name, shape, kind in whosmat(file, appendmat=False)}
    shape, kind = found.get("X", ((), ""))
    if kind != "uint8" or len(shape) != 4 or shape[:3] != (32, 32, 3):
        raise ValueError(f"{file.name} holds no pictures X of 32x32x3 bytes")
    if found.get("y") not in [((shape[3], 1), kind) for kind in ("uint8", "double")]:
        raise ValueError(f"{file.name} holds no {shape[3]:,} labels y, one for each picture")
    held = loadmat(file, appendmat=False, variable_names=["X", "y"])
    labels: Any = held["y"][:, 0]
    if not np.isin(labels, range(1, 11)).all():
        raise ValueError(f"{file.name} holds labels other than 1 to 10")
    images = np.ascontiguousarray(held["X"].transpose(3, 0, 1, 2))
    return ArraySplit(images, labels.astype(np.int64) % 10)  # 10 stands for the digit 0.


def _check_size(file: Path) -> None:
    """Check how large a file unpacks.

    Raises:
        ValueError: it is not a MATLAB 5 file, or ends too early.
        DataError: it unpacks to far too much for its size.
        zlib.error: it cannot be unpacked.
    """
    size = 0
    with file.open("rb") as stream:
        header = stream.read(_HEADER)
        if not header.startswith(_BEGIN) or len(header) < _HEADER:
            raise ValueError(f"{file.name} does not begin like a MATLAB 5 file")
        order = "<" if header[126:128] == b"IM" else ">"
        while tag := stream.read(8):
            if len(tag) < 8:
                raise ValueError(f"{file.name} ends too early")
            kind, length = struct.unpack(f"{order}II", tag)
            unpacker = zlib.decompressobj() if kind == _COMPRESSED else None
            while length:
                block = stream.read(min(length, _BLOCK))
                if not block:
                    raise ValueError(f"{file.name} ends too early")
                length -= len(block)
                while block:
                    size += len(unpacker.decompress(block, _BLOCK)) if unpacker else len(block)
                    check_expansion(file, size)
                    block = unpacker.unconsumed_tail if unpacker else b""
