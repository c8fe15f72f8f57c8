"""Folders of a user's files: which files count, and errors that name them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mmft_core.errors import DataError
from mmft_core.utils.files import printable

_SYSTEM = frozenset(
    {
        "__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information",
        "lost+found", "__pycache__",
    }
)  # fmt: skip
"""Folders that hold copies, thumbnails or deleted files, in lower case. They have no dot."""

_NAMED = 4
"""How many suffixes a message names."""


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is skipped."""
    return name.startswith(".") or name.lower() in _SYSTEM


def has_suffix(entry: os.DirEntry[str], suffixes: tuple[str, ...]) -> bool:
    """Whether an entry is a file with one of these suffixes, which are in lower case.

    A broken link counts as one, so that the check of the samples reports it. Pipes would hang.
    """
    if not entry.name.lower().endswith(suffixes):
        return False
    return entry.is_file() or (entry.is_symlink() and not Path(entry.path).exists())


def some_suffixes(suffixes: Sequence[str]) -> str:
    """Suffixes as part of a sentence, the first few of many: ".jpg, .png, .webp or 20 others"."""
    named = list(suffixes)
    if len(named) > _NAMED + 1:
        named[_NAMED:] = [f"{len(named) - _NAMED} others"]
    first, last = ", ".join(named[:-1]), "".join(named[-1:])
    return f"{first} or {last}" if first else last


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Turn what goes wrong in reading folders into a DataError that names the folder."""
    try:
        yield
    except OSError as error:
        place = printable(os.fspath(error.filename or folder))
        raise DataError(f"{place} cannot be read: {error.strerror}.") from None
