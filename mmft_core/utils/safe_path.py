"""Keeps child processes from importing from the current folder, which may be a stranger's run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

_VARIABLE = "PYTHONSAFEPATH"
"""Read by Python 3.11 and later."""


@contextlib.contextmanager
def safe_path() -> Iterator[None]:
    """Start Python processes without the current folder in `sys.path`.

    `python -c` and `python -m` put it first, and multiprocessing starts its helpers by `-c`, so a
    `multiprocessing.py` in the folder would be executed.
    """
    if os.environ.get(_VARIABLE):
        yield
        return
    os.environ[_VARIABLE] = "1"
    try:
        yield
    finally:
        os.environ.pop(_VARIABLE, None)
