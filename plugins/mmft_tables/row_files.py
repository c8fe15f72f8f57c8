"""The files of a table's rows: named by their paths, or held by the table itself."""

from __future__ import annotations

import io
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeAlias
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pyarrow as pa
import pyarrow.compute as pc

from mmft_core.contracts import Origin
from mmft_core.errors import SampleError
from mmft_core.utils import printable
from mmft_tables.cells import text_of

LONGEST = 4096
"""Characters of a path, at most."""

ADDRESS = re.compile(r"(?!file:)[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_LISTED = 100_000
"""How many files of a folder are compared with one that does not exist."""

CONTENT = re.compile(r"data:[\w.+/-]*[;,]", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


@dataclass(frozen=True, slots=True, eq=False)
class HeldFile:
    """A file whose content a table holds. It is read when it is needed."""

    files: HeldFiles
    row: int

    def __str__(self) -> str:
        return self.files.name(self.row)

    def read(self) -> bytes:
        return self.files.content(self.row)

    def open(self) -> BinaryIO:
        return io.BytesIO(self.read())


File: TypeAlias = Path | HeldFile


class RowFiles(ABC):
    """The files of rows. They pickle to few bytes, for worker processes.

    Attributes:
        none: what is wrong with a row that has no file.
    """

    none = "it names no file"

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def name(self, row: int) -> str:
        """What a row calls its file; "" if it has none or the file has no name."""

    @abstractmethod
    def find(self, row: int) -> File | None:
        """A row's file, which need not exist; None if the row has none.

        Raises:
            ValueError: what the row names cannot be a file on this machine; says why.
        """

    def origin(self, row: int) -> Origin:
        """What decides a row's file: its name and the file, or its content in the table."""
        try:
            file = self.find(row)
        except ValueError:  # The check of the data reports it.
            file = None
        if isinstance(file, HeldFile):
            content = file.read()
            return Origin([self.name(row), content], inputs=content)
        return Origin(os.fsencode(self.name(row)), () if file is None else (file,), inputs=())

    def file(self, row: int, sample_id: str) -> File | None:
        """The row's file, as `find`.

        Raises:
            SampleError: the row names something that cannot be read.
        """
        try:
            return self.find(row)
        except ValueError as error:
            raise SampleError(sample_id, str(error)) from None

    def needed(self, row: int, sample_id: str) -> File:
        """The file of a row that must have one.

        Raises:
            SampleError: it has none, or names something that cannot be read.
        """
        file = self.file(row, sample_id)
        if file is None:
            raise SampleError(sample_id, self.none)
        return file


class NamedFiles(RowFiles):
    """Files named by paths.

    Args:
        folder: the one that relative paths start from.
        names: (n,) as `mmft_datasets.labelled_files.pack` makes them.
    """

    def __init__(self, folder: Path, names: pa.LargeBinaryArray) -> None:
        self.folder, self.names = folder, names

    def __len__(self) -> int:
        return len(self.names)

    def name(self, row: int) -> str:
        return os.fsdecode(self.names[row].as_py())

    def find(self, row: int) -> Path | None:
        name = self.name(row)
        return located(self.folder, name) if name else None


class HeldFiles(RowFiles):
    """Files that a column of a table holds: as bytes, or as records of `bytes` and `path`.

    Args:
        folder: the one that the paths of records without bytes start from.
        column: a table of this column alone, see `Table.mapped`.
    """

    none = "it holds no file and names none"

    def __init__(self, folder: Path, column: Any) -> None:
        self.folder, self._table = folder, column
        cells, self._paths = column.column(0), None
        if pa.types.is_struct(cells.type):
            fields = dict(zip([f.name for f in cells.type.fields], cells.flatten(), strict=True))
            cells, self._paths = fields["bytes"], fields["path"]
        self._contents, self._held = cells, pc.is_valid(cells)

    def __getstate__(self) -> tuple[Path, Any]:
        return self.folder, self._table

    def __setstate__(self, state: tuple[Path, Any]) -> None:
        HeldFiles.__init__(self, *state)

    def __len__(self) -> int:
        return len(self._table)

    def name(self, row: int) -> str:
        path = self._path(row)
        # The file's former folder is mostly on another machine.
        return PurePosixPath(path.replace("\\", "/")).name if self.holds(row) else path

    def holds(self, row: int) -> bool:
        return bool(self._held[row].as_py())

    def content(self, row: int) -> bytes:
        found: bytes = self._contents[row].as_py()
        return found

    def find(self, row: int) -> File | None:
        if self.holds(row):
            return HeldFile(self, row)
        path = self._path(row)
        return located(self.folder, path) if path else None

    def _path(self, row: int) -> str:
        return text_of(self._paths[row].as_py()) if self._paths is not None else ""


def located(folder: Path, name: str) -> Path:
    """The place of a file that a cell names, by a path, a Windows path, or a `file://` address.

    Raises:
        ValueError: it is the address of another machine, or embedded content.
    """
    if CONTENT.match(name):
        raise ValueError("it is a data: URL, and embedded content is not read")
    if len(name) > LONGEST or "\0" in name:
        raise ValueError("it is not a file name")
    if name.lower().startswith("file:"):
        parts = urlsplit(name)
        if parts.netloc not in ("", "localhost"):
            raise ValueError(f"its URL points at another machine, {parts.netloc}")
        return folder / url2pathname(parts.path)
    if ADDRESS.match(name):
        raise ValueError("it is a URL, which is not fetched")
    path = folder / (Path(name).expanduser() if name.startswith("~/") else name)
    if os.sep == "/" and "\\" in name and not path.exists():
        if _DRIVE.match(name) or name.startswith("\\\\"):
            raise ValueError("it is a path on a Windows machine")
        path = folder / name.replace("\\", "/")
    return path


def missing(path: Path) -> str:
    """Say that a file does not exist, but one does that differs in its suffix or case."""
    other = _names(path.parent).get(path.stem.casefold())
    return "there is no such file" + (f", but {other} is there" if other else "")


@lru_cache(maxsize=4)
def _names(folder: Path) -> Mapping[str, str]:
    """The names of files in a folder by their stems."""
    try:
        with os.scandir(folder) as entries:
            names = [printable(entry.name) for entry in islice(entries, _LISTED)]
    except OSError:
        return {}
    return {Path(name).stem.casefold(): name for name in sorted(names)}
