"""Reading text files, which are UTF-8."""

from __future__ import annotations

from pathlib import Path

from mmft_core.errors import SampleError

SUFFIXES = (".txt", ".md")


def read_text(path: Path, sample_id: str) -> str:
    """Read a whole text file.

    Raises:
        SampleError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SampleError(sample_id, f"it is not UTF-8 at byte {error.start}") from None
    except OSError as error:
        raise SampleError(sample_id, what_failed(error)) from None


def what_failed(error: OSError) -> str:
    """What the operating system says, as the reason for a SampleError."""
    return f"it cannot be read: {(error.strerror or str(error)).lower()}"
