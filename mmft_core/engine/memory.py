"""Keeping freed memory for the next step instead of returning it to the system after each.

A training step frees what the next one allocates again. glibc returns large blocks to the system at
once, which then has to clear each page anew (docs/results.md shows what that costs). The price is
that the process keeps its peak memory until it ends.

Before version 2.39, glibc caches the remainder of an aligned block among small blocks and never
joins the two again, so a freed block seldom fits the next request of the same size. There only
blocks up to 32 MB are kept, lest memory grow with the steps.
"""

from __future__ import annotations

import ctypes
import sys

# Parameters of mallopt(3).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_NEVER_TRIM = 2**31 - 1
_TOP_PAD = 64 << 20


def tune_allocator() -> None:
    """Tell glibc's malloc to keep freed memory. Call it before torch allocates.

    Does nothing with another malloc: on macOS and Windows, and with musl.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt") and hasattr(libc, "gnu_get_libc_version"):
        libc.gnu_get_libc_version.restype = ctypes.c_char_p
        version = tuple(map(int, libc.gnu_get_libc_version().decode().split(".")[:2]))
        kept = 512 << 20 if version >= (2, 39) else 32 << 20
        libc.mallopt(_M_TRIM_THRESHOLD, _NEVER_TRIM)
        libc.mallopt(_M_TOP_PAD, _TOP_PAD)
        libc.mallopt(_M_MMAP_THRESHOLD, kept)
