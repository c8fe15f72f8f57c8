"""Qdrant's own files in a folder, which hold points as pickles: looked at before it opens them."""

from __future__ import annotations

import contextlib
import io
import pickle
import sqlite3
from pathlib import Path
from typing import Any

from mmft_core.errors import RunDirectoryError

_PARTS_OF_POINTS = ("PointStruct", "SparseVector")


def check_points(folder: Path) -> None:
    """Check that the pickles of a folder are points and nothing else.

    Raises:
        RunDirectoryError: one would do something else when Qdrant reads it, or is damaged.
        sqlite3.Error: it is no file of Qdrant's.
    """
    for file in sorted(folder.glob("collection/*/storage.sqlite")):
        uri = f"{file.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            for (point,) in connection.execute("SELECT point FROM points"):
                _check(point, file)


def _check(point: Any, file: Path) -> None:
    try:
        _Points(io.BytesIO(point)).load()
    except Exception as error:  # Whatever comes of bytes of any content.
        raise RunDirectoryError(
            f"{file} is refused: it holds something else than points ({error}).",
            hint="Make the index anew with `mmft index --rebuild`.",
        ) from None


class _Points(pickle.Unpickler):
    """Makes points of vectors and plain values, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "qdrant_client.http.models.models" and name in _PARTS_OF_POINTS:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name}")
