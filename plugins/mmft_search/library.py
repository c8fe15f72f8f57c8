"""What is to be found: files, or the samples of a data set."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mmft_core import cpus
from mmft_core.contracts import Preview, Processor, Sample, Split
from mmft_core.errors import SampleError
from mmft_core.inference import MISSING, Hidden, Sources, Unusable, expand, local_path
from mmft_core.loading import UNDECODABLE
from mmft_core.utils import digest_of, sha256, user_path


class Library(ABC):
    """Items that are to be found.

    Attributes:
        name: of a data set; "" for files.
        files: whether its items are files, whose ids are their paths.
        split: the items.
    """

    name: str
    files: bool
    split: Split

    @abstractmethod
    def owns(self, item: str, library: str) -> bool:
        """Whether an item that a store has under a library's name is, or was, one of this library.

        If it no longer is, the store drops it.
        """

    @abstractmethod
    def stamps(self) -> list[str]:
        """For each item a text that changes when it does; "" if that is not known."""

    def sealed(self, index: int, stamp: str) -> str:
        """The stamp that is kept of an item that was embedded."""
        return stamp

    def unchanged(self, kept: str, stamp: str) -> bool:
        """Whether an item is still the one that was embedded, by its stamp of then and now."""
        return bool(kept) and kept == stamp

    @abstractmethod
    def preview(self, index: int) -> Preview | None:
        """How to show an item later; None if its id names a file that can be shown."""


class FileLibrary(Library):
    """Files, and those of folders and patterns."""

    files = True

    def __init__(self, arguments: Sequence[str], modality: str, processor: Processor) -> None:
        """Args:
        arguments: files, folders (searched at any depth) and patterns.

        Raises:
            DataError: one names nothing that can be read.
        """
        self.hidden = Hidden()
        found = list(expand(arguments, processor, hidden=self.hidden))
        for source in found:
            if isinstance(source, Unusable):
                raise source.error
            if isinstance(source, str):
                raise SampleError(source, MISSING)
        self._paths = list(dict.fromkeys(_absolute(s) for s in found if isinstance(s, Path)))
        self.name = ""
        self.split = _Files(modality, self._paths, processor)
        own = [user_path(local_path(argument)) for argument in arguments]
        self._folders = [_absolute(path) for path in own if path.is_dir()]

    def owns(self, item: str, library: str) -> bool:
        return any(Path(item).is_relative_to(folder) for folder in self._folders)

    def stamps(self) -> list[str]:
        return [f"{s.st_size}-{s.st_mtime_ns}" if s else "" for s in map(_stat, self._paths)]

    def sealed(self, index: int, stamp: str) -> str:
        """With the digest of the file's content; see `holds`."""
        try:
            return f"{stamp}-{sha256(self._paths[index])}"
        except OSError:  # It has just gone.
            return ""

    def unchanged(self, kept: str, stamp: str) -> bool:
        return bool(stamp) and kept.count("-") == 2 and kept.rpartition("-")[0] == stamp

    def preview(self, index: int) -> None:
        return None


class DatasetLibrary(Library):
    """The samples of a data set."""

    files = False

    def __init__(self, name: str, split: Split, modality: str, processor: Processor) -> None:
        """Args:
        name: which data set, and which part of it.
        """
        self.name = name
        self.split = split
        self.modality, self.processor = modality, processor

    def owns(self, item: str, library: str) -> bool:
        return library == self.name

    def stamps(self) -> list[str]:
        with ThreadPoolExecutor(cpus.available()) as pool:
            return list(pool.map(self._stamp, range(len(self.split)), chunksize=256))

    def preview(self, index: int) -> Preview | None:
        sample: Sample = self.split[index]
        return self.processor.preview(sample.inputs[self.modality])

    def _stamp(self, index: int) -> str:
        try:
            preview = self.preview(index)
        except (SampleError, *UNDECODABLE):  # Embedding it will say what is wrong.
            return ""
        return hashlib.blake2b(preview.data, digest_size=16).hexdigest() if preview else ""


class _Files(Sources):
    """Files, with their sizes as a measure of the work."""

    def sizes(self) -> Sequence[float]:
        return [s.st_size if s else 0 for s in map(_stat, map(Path, map(str, self.sources)))]


def holds(file: Path, sealed: str) -> bool:
    """Whether a file holds what was embedded, by the stamp that is kept of it."""
    size, _, digest = sealed.split("-") if sealed.count("-") == 2 else ("", "", "")
    found = _stat(file)
    if found is None or not file.is_file() or str(found.st_size) != size:
        return False
    return digest_of(file) == digest


def _absolute(path: Path | str) -> Path:
    """The one spelling of a path; links are not followed: users know their files by these names."""
    return Path(os.path.abspath(user_path(path)))  # noqa: PTH100


def _stat(file: Path) -> os.stat_result | None:
    """None where the file has just gone; reading it will say so."""
    try:
        return file.stat()
    except OSError:
        return None
