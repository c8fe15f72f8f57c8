"""Keeping freed memory for the next step instead of returning it to the system after each.

A training step frees what the next one allocates again. glibc returns large blocks to the system at
once, which then has to clear each page anew (see docs/results.md for what keeping them gains). The
price is that the process keeps its peak memory until it ends. Blocks beyond 512 MB, such as the
logits of a large vocabulary, are returned all the same, lest smaller ones take their place and
memory grow. Huge pages make it cheap to allocate them again, because 512 times fewer pages have to
be cleared; and since torch starts each block that asks for huge pages at such a page, the gaps
between kept blocks fit again, and memory does not grow with the steps.
"""

from __future__ import annotations

import ctypes
import os
import sys

# Parameters of mallopt(3).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_NEVER_TRIM = 2**31 - 1
_TOP_PAD = 64 << 20
_KEPT_BLOCKS = 512 << 20
_LARGEST_OF_OLD_GLIBC = 32 << 20  # which accepts no larger threshold


def tune_allocator() -> None:
    """Tell glibc's malloc to keep freed memory, and torch to ask for huge pages.

    Call it before torch allocates.

    Does nothing with another malloc: on macOS and Windows, and with musl.
    """
    if not sys.platform.startswith("linux"):
        return
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt") and hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(_M_TRIM_THRESHOLD, _NEVER_TRIM)
        libc.mallopt(_M_TOP_PAD, _TOP_PAD)
        if not libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BLOCKS):
            libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_OF_OLD_GLIBC)
