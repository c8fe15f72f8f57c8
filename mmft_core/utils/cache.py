"""The user's cache: files that are made once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmft_core.utils.files import storage_errors, umask


def cache_root() -> Path:
    """The folder of everything that mmft stores outside of runs.

    Removing it loses nothing but time, except for `data`: the tables of programs that gave their
    data in memory (`mmft.run` in Python).
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "mmft"


def memory_tables() -> Path:
    """The folder of the tables of data that programs gave in memory."""
    return cache_root() / "data"


def cached_folder(name: str, recipe: Any, fill: Callable[[Path], None]) -> Path:
    """A folder of the user's cache, made as a whole or not at all.

    Args:
        recipe: what its content depends on; another recipe has another folder.
        fill: writes the content into a folder.

    Raises:
        StorageError: it cannot be written.
    """
    key = hashlib.sha256(repr(recipe).encode()).hexdigest()[:16]
    return filled_folder(cache_root() / f"{name}-{key}", fill)


def filled_folder(folder: Path, fill: Callable[[Path], None], inner: str = "") -> Path:
    """A folder that is made as a whole or not at all, unless it is there.

    It is made once: other processes that need it wait for it.

    Args:
        fill: writes the content into a folder.
        inner: the folder within the content that becomes this one; "" for all of it.

    Raises:
        StorageError: it cannot be written.
    """
    if folder.is_dir():
        return folder
    from filelock import FileLock  # Seldom needed.

    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.with_name(f".{folder.name}.lock")
        with FileLock(lock):
            try:
                if not folder.is_dir():  # Another process may have made it meanwhile.
                    _make(folder, fill, inner)
            finally:
                with contextlib.suppress(OSError):
                    lock.unlink()
    return folder


def _make(folder: Path, fill: Callable[[Path], None], inner: str) -> None:
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        fill(temporary)
        (temporary / inner).chmod(0o777 & ~umask())
        (temporary / inner).rename(folder)
    except OSError:
        if not folder.is_dir():  # Another process may have been faster.
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
