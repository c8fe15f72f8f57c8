"""Keeping freed memory for the next step instead of returning it to the system after each.

A training step frees what the next one allocates again. glibc returns large blocks to the system at
once, which then has to clear each page anew (docs/results.md shows what that costs). The price is
that the process keeps its peak memory until it ends. Blocks beyond 512 MB, such as the logits of a
large vocabulary, are returned all the same: the gap of one that is kept is soon broken by smaller
blocks, and memory would grow by its size.
"""

from __future__ import annotations

import ctypes
import sys

# Parameters of mallopt(3).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_NEVER_TRIM = 2**31 - 1
_TOP_PAD = 64 << 20
_KEPT_BLOCKS = 512 << 20
_MOST_OF_OLD_GLIBC = 32 << 20  # which accepts no larger threshold


def tune_allocator() -> None:
    """Tell glibc's malloc to keep freed memory. Call it before torch allocates.

    Does nothing with another malloc: on macOS and Windows, and with musl.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt") and hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(_M_TRIM_THRESHOLD, _NEVER_TRIM)
        libc.mallopt(_M_TOP_PAD, _TOP_PAD)
        if not libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BLOCKS):
            libc.mallopt(_M_MMAP_THRESHOLD, _MOST_OF_OLD_GLIBC)
