"""CIFAR's batches, in their archive as it is published or unpacked (Krizhevsky, 2009).

They are pickles. Anything but arrays, texts, numbers, lists and dictionaries is refused, so that
nothing in them is executed.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmft_datasets.unpacking import open_tar
from mmft_vision.read_arrays import AbsentError, Arrays, ArraySplit


def read_cifar(root: Path, kind: Any) -> Arrays:
    """Read a CIFAR.

    Args:
        kind: torchvision's class, which knows the files and their checksums.

    Raises:
        AbsentError: it is not there, or its unpacked files are not the published ones.
        ValueError: it is damaged.
        OSError, EOFError, zlib.error, tarfile.TarError: it cannot be read, or unpacked.
    """
    known: dict[str, str] = dict((*kind.train_list, *kind.test_list))
    known[kind.meta["filename"]] = kind.meta["md5"]
    folder, archive = root / kind.base_folder, root / kind.filename
    files = {n: (folder / n).read_bytes() for n in known if (folder / n).is_file()}
    notes: tuple[str, ...] = ()
    if [_md5(files.get(name, b"")) for name in known] != list(known.values()):
        if not archive.is_file():
            raise AbsentError(f"{folder} is missing or incomplete")
        files = _packed(archive, kind.base_folder, known)
        if any(_md5(files[name]) != md5 for name, md5 in known.items()):
            notes = (f"{archive.name} is readable, but its checksums are not the published ones",)
    classes = tuple(map(str, _loaded(files[kind.meta["filename"]])[kind.meta["key"]]))
    lists = {"train": kind.train_list, "test": kind.test_list}
    parts = {name: _part([files[n] for n, _ in batches]) for name, batches in lists.items()}
    return Arrays(parts, classes, notes)


def _packed(archive: Path, folder: str, names: Mapping[str, str]) -> dict[str, bytes]:
    """The files of an archive, read as a whole, without unpacking it to the disk."""
    found = {}
    with open_tar(archive) as content:
        for member in content:
            name = member.name.removeprefix("./").removeprefix(f"{folder}/")
            stream = content.extractfile(member) if name in names else None
            if stream is not None:
                found[name] = stream.read()
        assert content.fileobj is not None
        while content.fileobj.read(1 << 20):  # gzip compares checksums at the end.
            pass
    lacking = sorted(names.keys() - found.keys())
    if lacking:
        raise ValueError(f"{archive.name} lacks {folder}/{lacking[0]}")
    return found


def _part(batches: list[bytes]) -> ArraySplit:
    images, labels = [], []
    for batch in map(_loaded, batches):
        images.append(batch["data"].array.reshape(-1, 3, 32, 32))
        labels += batch["labels"] if "labels" in batch else batch["fine_labels"]
    return ArraySplit(
        np.ascontiguousarray(np.concatenate(images).transpose(0, 2, 3, 1)),
        np.array(labels, dtype=np.int64),
    )


class _Bytes:
    """Takes the place of an array of bytes in a pickle.

    numpy itself would make arrays of objects, at any address that the pickle gives.
    """

    array: np.ndarray[Any, np.dtype[np.uint8]]

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, by_columns, content = state
        if not isinstance(kind, _Kind) or not isinstance(content, bytes | str):
            raise pickle.UnpicklingError("it holds an array of something other than bytes")
        raw = content.encode("latin1") if isinstance(content, str) else content
        order: Any = "F" if by_columns else "C"
        self.array = np.frombuffer(raw, np.uint8).reshape(shape, order=order)


class _Kind:
    """Takes the place of the type of an array's elements."""

    def __setstate__(self, state: Any) -> None:
        """Ignore the byte order and similar properties, which bytes do not have."""


def _reconstruct(*_: Any) -> _Bytes:
    return _Bytes()


def _dtype(name: Any, *_: Any) -> _Kind:
    if name != "u1":
        raise pickle.UnpicklingError(f"it holds an array of {str(name)[:80]}, not of bytes")
    return _Kind()


def _frombuffer(content: Any, kind: Any, shape: Any, order: Any) -> _Bytes:
    found = _Bytes()
    found.__setstate__((1, shape, kind, order == "F", bytes(content)))
    return found


class _Plain(pickle.Unpickler):
    """Loads arrays of bytes and what needs no class."""

    _KNOWN: Mapping[tuple[str, str], Any] = {
        ("multiarray", "_reconstruct"): _reconstruct,
        ("numeric", "_frombuffer"): _frombuffer,
        ("numpy", "ndarray"): None,  # An argument of the first.
        ("numpy", "dtype"): _dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        package, _, last = module.rpartition(".")
        known = module == "numpy" or package in ("numpy.core", "numpy._core")
        if not known or (last, name) not in self._KNOWN:
            raise pickle.UnpicklingError(f"it holds {module}.{name}, which no batch needs")
        return self._KNOWN[last, name]


def _loaded(content: bytes) -> dict[str, Any]:
    try:
        found = _Plain(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # Arbitrary bytes may raise anything.
        raise ValueError(f"a batch cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise ValueError("a batch is not a dictionary")
    return found


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
