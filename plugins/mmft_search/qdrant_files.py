"""Qdrant's own files in a folder. They hold points as pickles, which are read as points only."""

from __future__ import annotations

import io
import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qdrant_client import QdrantClient
from qdrant_client.local import persistence

from mmft_core.errors import MmftError, RunDirectoryError, first_line

_PARTS_OF_POINTS = ("PointStruct", "SparseVector")
_NAME = re.compile(r"\w[\w.-]*")
"""A collection's name is that of its folder."""


def open_files(folder: Path) -> QdrantClient:
    """Have Qdrant open its files without executing anything: it gets only points and plain values.

    Looking at the files beforehand is not enough: what a database answers may differ from one
    query to the next.

    Raises:
        RunDirectoryError: they hold something other than points, or are damaged.
        RuntimeError: another process uses them.
        OSError, sqlite3.Error: they cannot be read.
    """
    if persistence.pickle is not _PointsOnly:  # Fails if Qdrant no longer reads so.
        persistence.pickle = _PointsOnly
    try:
        _check_names(folder)
        return QdrantClient(path=str(folder))
    except MmftError:
        raise
    except _UnsafeError as error:
        raise _refused(folder, str(error)) from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise RunDirectoryError(
            f"Qdrant's files in {folder} are damaged: {first_line(error)}.", hint=_AGAIN
        ) from None


_AGAIN = "Build the index again with `mmft index --rebuild`."


def _check_names(folder: Path) -> None:
    """Check that all collections lie in the folder.

    Raises:
        RunDirectoryError: one does not.
    """
    file = folder / "meta.json"
    if file.is_file():
        for name in json.loads(file.read_text(encoding="utf-8"))["collections"]:
            if not _NAME.fullmatch(name):
                raise _refused(file, f"the collection '{name[:80]}'")


def _refused(file: Path, what: str) -> RunDirectoryError:
    return RunDirectoryError(
        f"{file} is refused: it holds something other than points ({what}).", hint=_AGAIN
    )


class _UnsafeError(Exception):
    """A pickle is something other than a point."""


class _PointsOnly:
    """What Qdrant needs of the module `pickle`."""

    dumps: Callable[..., bytes] = staticmethod(pickle.dumps)

    @staticmethod
    def loads(point: Any) -> Any:
        try:
            return _Points(io.BytesIO(point)).load()
        except Exception as error:  # Arbitrary bytes may raise anything.
            raise _UnsafeError(str(error)) from None


class _Points(pickle.Unpickler):
    """Makes points of vectors and plain values, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "qdrant_client.http.models.models" and name in _PARTS_OF_POINTS:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name}")
