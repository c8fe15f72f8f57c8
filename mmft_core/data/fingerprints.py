"""Fingerprints of samples, which show cheaply whether a sample has changed.

`values` is a digest of what the data set stores for a sample (`Split.origin`), `inputs` a digest of
the part that is neither a label nor a file name, and `content` a digest of the bytes of its files.
To avoid reading the files again, `stat` is a digest of what the file system says about them: size,
times of modification and change, and inode, as in Git's index. Files are read only if `stat`
differs, so a copy with other times counts as unchanged.
"""

from __future__ import annotations

import functools
import hashlib
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from stat import S_ISREG
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from mmft_core.contracts import Origin, Split
from mmft_core.errors import SampleError

BYTES = 16
DIGEST = pa.binary(BYTES)
_DIGESTS = ("values", "stat", "content", "inputs")
SCHEMA = pa.schema([("id", pa.string()), *((name, DIGEST) for name in _DIGESTS)])
"""A row for each sample. `stat` and `content` are null without files, or where one is missing."""

_REMEMBERED = 1 << 16
"""Files whose digests are remembered, for samples that are parts of the same file."""


class Likeness(NamedTuple):
    """How a sample compares with what it was.

    Attributes:
        same: it is what it was.
        relabelled: only its label or the names of its files differ.
        stat: of its files now.
    """

    same: bool
    relabelled: bool
    stat: bytes | None


class Fingerprints:
    """Takes the fingerprints of samples, from several threads.

    Args:
        roots: paths of the data set, which are not part of the ids of samples: a data set that
            was moved is the same.
    """

    def __init__(self, roots: Sequence[str]) -> None:
        spelled = {place for root in roots for place in (root, os.path.abspath(root))}  # noqa: PTH100
        self._roots = sorted(spelled, key=len, reverse=True)
        self._content = functools.lru_cache(_REMEMBERED)(_content_of)

    def table(self, split: Split, indices: Sequence[int]) -> pa.Table:
        """Fingerprints of these samples, a row of `SCHEMA` for each."""
        rows = [(split.sample_id(index), *self._of(split, index)) for index in indices]
        return pa.table(list(map(list, zip(*rows, strict=True))) or [[]] * len(SCHEMA), SCHEMA)

    def values(self, split: Split, index: int) -> bytes | None:
        """The digest of what the data set holds of a sample; None where that cannot be read."""
        origin = self._origin(split, index)
        return None if origin is None else _encoded(origin)

    def identity(
        self, split: Split, index: int, *, with_labels: bool
    ) -> tuple[bytes, bytes | None] | None:
        """What identifies a sample: its inputs or values, and the content of its files.

        None where these cannot be read.
        """
        origin = self._origin(split, index)
        if origin is None:
            return None
        content = self._contents(origin.files, _stats(origin.files))
        if origin.files and content is None:
            return None
        return (_encoded(origin) if with_labels else _inputs(origin)), content

    def compared(self, split: Split, index: int, kept: Sequence[bytes | None]) -> Likeness:
        """Compare a sample with what it was; its files are read only if `stat` differs.

        Args:
            kept: its earlier values, stat, content and inputs. Runs of older versions have no
                inputs, so a changed label cannot be told from changed inputs.
        """
        values, stat, content, inputs = kept
        origin = self._origin(split, index)
        if origin is None:
            return Likeness(values is None, relabelled=False, stat=stat)
        same = _encoded(origin) == values
        if not same and _inputs(origin) != inputs:
            return Likeness(same=False, relabelled=False, stat=stat)
        now = stat
        if content is not None:
            stats = _stats(origin.files)
            now = _joined(stats)
            if now != stat and self._contents(origin.files, stats) != content:
                return Likeness(same=False, relabelled=False, stat=now)
        return Likeness(same, not same, now)

    def _of(self, split: Split, index: int) -> tuple[bytes | None, ...]:
        origin = self._origin(split, index)
        if origin is None:
            return (None,) * len(_DIGESTS)
        stats = _stats(origin.files)
        content = self._contents(origin.files, stats)
        return _encoded(origin), _joined(stats), content, _inputs(origin)

    def _origin(self, split: Split, index: int) -> Origin | None:
        try:
            origin = split.origin(index)
        except SampleError:
            return None
        if origin is not None:
            return origin
        name = split.sample_id(index)
        root = next((root for root in self._roots if name.startswith(root)), "")
        return Origin(name.removeprefix(root))

    def _contents(self, files: Sequence[Path], stats: Sequence[bytes] | None) -> bytes | None:
        try:
            found = [self._content(*each) for each in zip(files, stats or (), strict=True)]
        except (OSError, ValueError):  # One is gone.
            return None
        return _joined(found)


def _stats(files: Sequence[Path]) -> list[bytes] | None:
    """For each file a digest that changes with it; None if one is not a regular file.

    The inode and the time of change also reveal files that were replaced, or whose time of
    modification was set by hand.
    """
    try:
        found = [file.stat() for file in files]
    except (OSError, ValueError):
        return None
    if not all(S_ISREG(s.st_mode) for s in found):  # Reading a pipe would hang.
        return None
    numbers = [(s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for s in found]
    return [_digest(struct.pack("<4Q", *(n % 2**64 for n in own))) for own in numbers]


def _joined(digests: Sequence[bytes] | None) -> bytes | None:
    """One digest of several; None for none."""
    if not digests:
        return None
    return digests[0] if len(digests) == 1 else _digest(b"".join(digests))


def _content_of(file: Path, stat: bytes) -> bytes:
    """The digest of a file's bytes.

    Args:
        stat: changes when the file does; digests are remembered by it.
    """
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, _blake).digest()


def _encoded(origin: Origin) -> bytes:
    return _digest(_ENCODER.encode(origin.values))


def _inputs(origin: Origin) -> bytes:
    if origin.inputs is None:
        return _encoded(origin)
    return _digest(_ENCODER.encode(origin.inputs))


def _digest(data: bytes) -> bytes:
    found: bytes = _blake(data).digest()
    return found


def _blake(data: bytes = b"") -> Any:
    return hashlib.blake2b(data, digest_size=BYTES)


def _plain(value: Any) -> Any:
    """NumPy's values as types that msgpack knows."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return [str(value.dtype), value.shape, value.tobytes()]
    raise TypeError(f"`Split.origin` holds a {type(value).__name__}.")


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_plain, order="deterministic")
