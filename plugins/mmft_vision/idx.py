"""Files of MNIST's format, packed or not (LeCun, Cortes and Burges, 1998), and EMNIST's.

EMNIST (Cohen et al., 2017) is a zip of several data sets, whose pictures lie on their side.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mmft_core.utils import Unpacked, check_expansion
from mmft_vision.read_arrays import AbsentError, Arrays, ArraySplit

_FILES = {"train": "train", "test": "t10k"}
_CONTENTS = ("images-idx3-ubyte", "labels-idx1-ubyte")
_BYTES = 0x08
"""The third byte of a file, which states the type of the elements: unsigned bytes."""

Published = Mapping[str, tuple[str, str]]
"""The data set and the name of each packed file, by its MD5 checksum."""


def read_idx(folder: Path, name: str, classes: tuple[str, ...], published: Published) -> Arrays:
    """Read the four files of a data set like MNIST.

    Args:
        published: the files of all such data sets, this one's included.

    Raises:
        AbsentError: a file is not there.
        ValueError: one is damaged, or of another data set.
        OSError, EOFError, zlib.error: one cannot be read, or unpacked.
    """
    parts, notes = {}, []
    for split, start in _FILES.items():
        images, labels = (_file(folder, f"{start}-{what}") for what in _CONTENTS)
        notes += [*_strange(images, name, published), *_strange(labels, name, published)]
        parts[split] = ArraySplit(_array(_of(images), 3), _array(_of(labels), 1).astype(np.int64))
    return Arrays(parts, classes, tuple(notes))


def read_emnist(folder: Path, variant: str, classes: tuple[str, ...], kind: Any) -> Arrays:
    """Read one of the data sets of EMNIST, with its pictures upright.

    Args:
        variant: "balanced", "letters", ...
        classes: their names, by label.
        kind: torchvision's class, which knows the archive's checksum.

    Raises:
        AbsentError: a file is not there, nor is the archive.
        ValueError: one is damaged.
        OSError, EOFError, zlib.error, zipfile.BadZipFile: one cannot be read, or unpacked.
    """
    archive, parts, used = folder / "gzip.zip", {}, False
    for split in ("train", "test"):
        found = []
        for what in _CONTENTS:
            name = f"emnist-{variant}-{split}-{what}"
            try:
                found.append(_of(_file(folder, name)))
            except AbsentError:
                found.append(_member(archive, name))
                used = True
        images, labels = _array(found[0], 3), _array(found[1], 1).astype(np.int64)
        first = 1 if variant == "letters" else 0  # Those count from 1.
        parts[split] = ArraySplit(np.ascontiguousarray(images.transpose(0, 2, 1)), labels - first)
    notes: tuple[str, ...] = ()
    if used:
        with archive.open("rb") as stream:
            if hashlib.file_digest(stream, "md5").hexdigest() != kind.md5:
                notes = (f"{archive.name} is readable, but its checksum is not the published one",)
    return Arrays(parts, classes, notes)


@dataclass(frozen=True)
class _Packed:
    """A file or a member of an archive, with what opens it and what messages call it."""

    path: Path
    name: str
    opened: Callable[[Path], Any]


def _of(file: Path) -> _Packed:
    return _Packed(file, file.name, gzip.GzipFile if file.suffix == ".gz" else _plain)


def _member(archive: Path, name: str) -> _Packed:
    """A packed file in EMNIST's archive.

    Raises:
        AbsentError: there is no archive.
        ValueError: it does not hold the file.
        DataError: the file would be far too large for such an archive.
        zipfile.BadZipFile: it is damaged.
    """
    if not archive.is_file():
        raise AbsentError(f"{name} is not there")
    with zipfile.ZipFile(archive) as content:
        try:
            member = content.getinfo(f"gzip/{name}.gz")
        except KeyError:
            raise ValueError(f"{archive.name} lacks gzip/{name}.gz") from None
        check_expansion(archive, member.file_size)
        packed = content.read(member)
    return _Packed(archive, f"{name}.gz", lambda _: gzip.GzipFile(fileobj=io.BytesIO(packed)))


def _file(folder: Path, name: str) -> Path:
    """A file, packed or not; some copies have a dot before "idx".

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


def _array(file: _Packed, dimensions: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    with Unpacked(file.path, file.opened) as stream:
        content = stream.read()
    start = 4 * (dimensions + 1)
    if len(content) < start or content[:4] != bytes((0, 0, _BYTES, dimensions)):
        raise ValueError(f"{file.name} does not begin like such a file")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise ValueError(
            f"{file.name} announces {math.prod(shape):,} bytes, but has {len(content) - start:,}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _strange(file: Path, name: str, published: Published) -> Iterator[str]:
    """A note if a packed file is not the published one.

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
        yield f"{file.name} is readable, but its checksum is not the published one"
