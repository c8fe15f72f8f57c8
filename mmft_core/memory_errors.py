"""Telling errors of memory that ran out from others, on a CPU and on a GPU."""

from __future__ import annotations

import errno

_TORCH_SAYS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "unable to mmap",
    "bad_alloc",
)
"""In the RuntimeErrors of torch and the libraries below it."""


def out_of_memory(error: BaseException) -> bool:
    """Whether the memory of the device or of the machine ran out."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # torch.OutOfMemoryError is a RuntimeError, too; torch need not be imported to know it.
    return isinstance(error, RuntimeError) and any(t in str(error).lower() for t in _TORCH_SAYS)
