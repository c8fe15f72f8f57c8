"""Recognising errors about memory that ran out, on a CPU or a GPU."""

from __future__ import annotations

import errno

_LIBRARIES_SAY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "unable to mmap",
    "failed to allocate memory",
    "bad_alloc",
)
"""In the errors of torch, ONNX Runtime, and the libraries below them."""


def out_of_memory(error: BaseException) -> bool:
    """Whether the memory of the device or of the machine ran out."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # torch.OutOfMemoryError is a RuntimeError, too; torch need not be imported to know it. The
    # exceptions of ONNX Runtime have no base of their own.
    of_library = isinstance(error, RuntimeError) or type(error).__module__.startswith("onnxruntime")
    return of_library and any(text in str(error).lower() for text in _LIBRARIES_SAY)
