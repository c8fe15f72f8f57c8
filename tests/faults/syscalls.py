"""Dying at the n-th operation on files of a folder, rather than at some moment."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

_ANYWHERE = {"os.remove", "os.rmdir"}
"""Told of relative to a descriptor, so without the folder's path."""


def die_at(folder: Path, fatal: int | None, tally: Path) -> None:
    """Count what this process does with files of a folder: open, rename, remove and so on.

    Args:
        fatal: the number of the operation that it is killed before; None to let it live.
        tally: a file that gets a byte for each.
    """
    prefix, count = str(folder), 0
    file = os.open(tally, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if not event.startswith(("open", "os.", "shutil.")) or not arguments:
            return
        if event not in _ANYWHERE and not str(arguments[0]).startswith(prefix):
            return
        count += 1
        os.write(file, b".")
        if count == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hear)
