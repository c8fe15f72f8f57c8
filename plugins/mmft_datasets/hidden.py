"""Hidden folders: those that programs make, and files that are skipped with one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

_USUAL = frozenset(
    {
        ".git", ".svn", ".hg", ".dvc", ".cache", ".config", ".local", ".venv", ".tox", ".idea",
        ".vscode", ".ipynb_checkpoints", ".huggingface", ".trash", ".trashes", ".thumbnails",
        ".thumb", ".thumbs", ".appledouble", ".spotlight-v100", ".fseventsd", ".temporaryitems",
        ".documentrevisions-v100", ".picasaoriginals", ".comments", ".snapshot", ".snapshots",
        ".stversions", ".sync", ".dropbox.cache",
    }
)  # fmt: skip
"""Folders with a dot that programs make, in lower case."""


def is_usual(name: str) -> bool:
    """Whether a hidden folder of this name is one that programs make, and nobody's class."""
    lower = name.lower()
    return not name.startswith(".") or lower in _USUAL or lower.startswith(".trash-")


def hidden_files(
    entry: os.DirEntry[str], prefix: str, holds: Callable[[os.DirEntry[str]], bool]
) -> Iterator[str]:
    """Yield the names of files of a kind that are skipped because they or their folder are hidden.

    Not counted are the files that macOS writes beside others, `._NAME`: they hold no content.

    Args:
        prefix: what the names begin with.
        holds: whether a file is of the kind.
    """
    if not entry.is_dir():
        if not entry.name.startswith("._") and holds(entry):
            yield prefix + entry.name
    elif not entry.is_symlink():
        try:
            entries = list(os.scandir(entry.path))
        except OSError:  # Recycle bins are often closed to others.
            return
        for inner in entries:
            yield from hidden_files(inner, f"{prefix}{entry.name}/", holds)
