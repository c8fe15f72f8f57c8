"""How processes that train together end: all of them, and one reports why.

The first process that fails leaves a note in the store through which they met. When others then
fail, for example because of a lost connection, they find the note and exit quietly.
"""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmft_core.distributed import comm
from mmft_core.errors import ElsewhereError, MmftError, ProcessError, first_line

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

_LAST_WORDS = 10.0
"""Seconds that a process waits for another to say why it has gone."""

_CLAIMED, _FAILURE = "mmft/failed", "mmft/failure"


@contextlib.contextmanager
def fail_together() -> Iterator[None]:
    """Have an error in one process end all of them, and only one report why.

    Raises:
        ElsewhereError: in place of whatever another process's failure leads to here.
    """
    try:
        yield
    except Exception as error:
        if comm.count() == 1:
            raise
        if comm.several():
            # The launcher now ends the processes that are left; this one ends in order.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        cause = _cause(error)
        if cause is error:
            raise
        raise cause from None


def _cause(error: Exception) -> Exception:
    """The failure to end with: this one, or that of another process that was first."""
    if isinstance(error, ElsewhereError):
        return error
    if not comm.several():
        return _without_store(error)
    from torch.distributed.distributed_c10d import _get_default_store

    try:
        return _first(_get_default_store(), error)
    except RuntimeError:  # The store went with the process that held it.
        return ElsewhereError("Another process of this run has failed.")


def _first(store: Store, error: Exception) -> Exception:
    lost = _is_lost_connection(error)
    if lost and _appears(store, _FAILURE):
        return _read(store, error)
    if store.add(_CLAIMED, 1) > 1:
        return _read(store, error) if _appears(store, _FAILURE) else error
    if lost:
        error = ProcessError(
            "Another process of this run has ended without an error message.",
            hint="It may have run out of memory, or have been killed; --resume continues the run.",
        )
    message = error.message if isinstance(error, MmftError) else first_line(error)
    store.set(_FAILURE, json.dumps({"rank": comm.rank(), "message": message}))
    return error


def _read(store: Store, error: Exception) -> Exception:
    failure = json.loads(store.get(_FAILURE))
    return error if failure["rank"] == comm.rank() else ElsewhereError(failure["message"])


def _appears(store: Store, key: str) -> bool:
    """Wait a little for a key of the store."""
    end = time.monotonic() + _LAST_WORDS
    while not store.check([key]):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _without_store(error: Exception) -> Exception:
    """Before processes are connected, all are expected to fail alike, and the main one reports."""
    if comm.is_main():
        return error
    time.sleep(_LAST_WORDS)  # It is ended with the main one, unless it fails alone.
    return error


def _is_lost_connection(error: Exception) -> bool:
    from torch.distributed import DistError

    return isinstance(error, DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error)
    )
