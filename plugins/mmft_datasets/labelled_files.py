"""Files with a class each, a million of them in little memory."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from mmft_core.contracts import Origin, Split
from mmft_core.data import Indices
from mmft_core.utils import printable


def pack(names: Iterable[str]) -> pa.LargeBinaryArray:
    """Pack file names, as the bytes that they are to the file system."""
    return pa.array([os.fsencode(name) for name in names], pa.large_binary())


class LabelledFiles(Split):
    """Files with a class each; how one is read is up to the modality.

    Names are kept as one Arrow array rather than as Python strings: a million paths take little
    memory, and worker processes share it instead of copying it with each reference count.

    Args:
        root: the folder that the names are relative to.
        names: (n,) what `pack` made.
        labels: (n,) indices into `classes`.
    """

    def __init__(
        self, root: Path, names: pa.LargeBinaryArray, labels: Indices, classes: tuple[str, ...]
    ) -> None:
        self.root, self.names, self.labels, self.classes = root, names, labels, classes

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        return os.fsdecode(self.names[index].as_py())

    def path(self, index: int) -> Path:
        return self.root / self.name(index)

    def sample_id(self, index: int) -> str:
        return printable(str(self.path(index)))

    def target(self, index: int) -> str:
        return self.classes[int(self.labels[index])]

    def origin(self, index: int) -> Origin:
        name, label = self.names[index].as_py(), int(self.labels[index])
        known = 0 <= label < len(self.classes)
        files = (self.root / os.fsdecode(name),) if name else ()
        return Origin((name, self.classes[label] if known else None), files, inputs=())
