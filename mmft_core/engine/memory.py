"""Keeping freed memory for the next step instead of returning it to the system after each.

A training step frees what the next one allocates again. glibc returns large blocks to the system at
once, which then has to clear each page anew. Without that, networks train 1.06 to 1.6 times as fast
on a CPU (see docs/results.md). The price is that the process keeps its peak memory until it ends.
"""

from __future__ import annotations

import ctypes
import sys

# Parameters of mallopt(3).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_NEVER_TRIM = 2**31 - 1
_TOP_PAD = 64 << 20
_NO_BLOCKS = 0


def tune_allocator() -> None:
    """Tell glibc's malloc to keep freed memory, whatever the size of a block.

    Call it before torch allocates.

    Does nothing with another malloc: on macOS and Windows, and with musl.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt") and hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(_M_TRIM_THRESHOLD, _NEVER_TRIM)
        libc.mallopt(_M_TOP_PAD, _TOP_PAD)
        libc.mallopt(_M_MMAP_MAX, _NO_BLOCKS)  # What is mapped is returned when it is freed.
