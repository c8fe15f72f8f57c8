"""What is to be found: files, or the samples of a data set."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mmft_core.contracts import Preview, Processor, Sample, Split
from mmft_core.errors import DataError, SampleError
from mmft_core.sources import Sources, expand


class Library(ABC):
    """Items that are to be found.

    Attributes:
        name: items that a store has by this name, and the library no longer, are dropped.
        files: whether its items are files, whose ids are their paths.
        split: the items.
    """

    name: str
    files: bool
    split: Split

    @abstractmethod
    def stamps(self) -> list[str]:
        """What changes when an item does, for each."""

    @abstractmethod
    def preview(self, index: int) -> Preview | None:
        """How to show an item later; None where its id names the file that can."""


class FileLibrary(Library):
    """The files of a folder, or those that a pattern names."""

    files = True

    def __init__(self, argument: str, modality: str, processor: Processor) -> None:
        """Args:
        argument: a file, a folder (searched at any depth) or a pattern.

        Raises:
            DataError: it names nothing that can be read.
        """
        found = list(expand([argument], processor))
        self._paths = [_absolute(source) for source in found if isinstance(source, Path)]
        if len(self._paths) < len(found):
            raise DataError(f"{argument}: found no such file or folder.")
        self.name = str(_absolute(argument))
        self.split = _Files(modality, self._paths, processor)

    def stamps(self) -> list[str]:
        return [f"{s.st_size}-{s.st_mtime_ns}" if s else "" for s in map(_stat, self._paths)]

    def preview(self, index: int) -> None:
        return None


class DatasetLibrary(Library):
    """The samples of a data set."""

    files = False

    def __init__(self, name: str, split: Split, modality: str, processor: Processor) -> None:
        self.name = str(_absolute(name)) if Path(name).exists() else name
        self.split = split
        self.modality, self.processor = modality, processor

    def stamps(self) -> list[str]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(self._stamp, range(len(self.split)), chunksize=256))

    def preview(self, index: int) -> Preview | None:
        sample: Sample = self.split[index]
        return self.processor.preview(sample.inputs[self.modality])

    def _stamp(self, index: int) -> str:
        try:
            preview = self.preview(index)
        except (SampleError, OSError):  # Embedding it will say what is wrong.
            return ""
        return hashlib.blake2b(preview.data if preview else b"", digest_size=16).hexdigest()


class _Files(Sources):
    """Files by their size, which is roughly what they cost."""

    def sizes(self) -> Sequence[int]:
        return [s.st_size if s else 0 for s in map(_stat, map(Path, self.sources))]


def _absolute(path: Path | str) -> Path:
    """The one spelling of a path; links stay links, for by these names users know their files."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def _stat(file: Path) -> os.stat_result | None:
    """None where the file has just gone; reading it will say so."""
    try:
        return file.stat()
    except OSError:
        return None
