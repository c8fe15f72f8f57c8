"""MNIST's files, packed as they are published or unpacked (LeCun, Cortes and Burges, 1998)."""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mmft_core.expansion import Unpacked
from mmft_vision.read_arrays import AbsentError, Arrays, Part

_FILES = {"train": "train", "test": "t10k"}
_CONTENTS = ("images-idx3-ubyte", "labels-idx1-ubyte")
_BYTES = 0x08
"""The type of the elements, as the third byte of a file has it: unsigned bytes."""

Published = Mapping[str, tuple[str, str]]
"""By the MD5 checksum of a packed file: which data set it is of, and its name."""


def read_idx(folder: Path, name: str, classes: tuple[str, ...], published: Published) -> Arrays:
    """Read the four files of a data set like MNIST.

    Args:
        published: all that are known, this data set's among them.

    Raises:
        AbsentError: a file is not there.
        ValueError: one is damaged, or of another data set.
        OSError, EOFError, zlib.error: one cannot be read, or unpacked.
    """
    parts, notes = {}, []
    for split, start in _FILES.items():
        images, labels = (_file(folder, f"{start}-{what}") for what in _CONTENTS)
        notes += [*_strange(images, name, published), *_strange(labels, name, published)]
        parts[split] = Part(_array(images, 3), _array(labels, 1).astype(np.int64))
    return Arrays(parts, classes, tuple(notes))


def _file(folder: Path, name: str) -> Path:
    """A file, packed or not; some publish them with a dot before "idx".

    Raises:
        AbsentError: it is not there.
    """
    plain = (folder / name, folder / name.replace("-idx", ".idx"))
    packed = [file.with_name(f"{file.name}.gz") for file in plain]
    found = next((file for file in (*plain, *packed) if file.is_file()), None)
    if found is None:
        raise AbsentError(f"{name} is not there")
    return found


def _plain(file: Path) -> BinaryIO:
    return file.open("rb")


def _array(file: Path, dimensions: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    with Unpacked(file, gzip.GzipFile if file.suffix == ".gz" else _plain) as stream:
        content = stream.read()
    start = 4 * (dimensions + 1)
    if len(content) < start or content[:4] != bytes((0, 0, _BYTES, dimensions)):
        raise ValueError(f"{file.name} does not begin as such a file does")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise ValueError(
            f"{file.name} promises {math.prod(shape):,} bytes, and {len(content) - start:,} are "
            "there"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _strange(file: Path, name: str, published: Published) -> Iterator[str]:
    """Say that a packed file is another than is published.

    Raises:
        ValueError: it is of another data set, whose files have the same names.
    """
    if file.suffix != ".gz":
        return
    checksum = hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
    owner, own_name = published.get(checksum, ("", ""))
    if owner and (owner, own_name) != (name, file.name.replace(".idx", "-idx")):
        raise ValueError(f"{file.name} is {own_name} of {owner}")
    if not owner:
        yield f"{file.name} is sound, but not as published, by its checksum"
