"""Inputs from standard input: one text or file name per line, or the content of one file.

It is the content of one file if it starts like a format that the model reads, or if it is binary
and the model reads no texts. Otherwise each line is an input; NUL characters do not separate.
"""

from __future__ import annotations

import codecs
import io
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mmft_core.errors import ConfigError
from mmft_core.utils.files import storage_errors

if TYPE_CHECKING:
    from mmft_core.contracts import Processor
    from mmft_core.inference.downloads import Limits
    from mmft_core.inference.sources import Source

_HEAD = 512
"""Bytes by which the format of a file is recognised."""

_UNPRINTED = {*range(9), *range(14, 32), 127}
"""Bytes that are control characters, and neither blanks nor line breaks."""


def refuse_mixed(inputs: tuple[str, ...]) -> None:
    """Raises:
    ConfigError: standard input is one of several inputs.
    """
    if len(inputs) > 1 and "-" in inputs:
        raise ConfigError(
            "Standard input (-) cannot be combined with other inputs.",
            hint="Give names or texts either as arguments or on standard input.",
        )


def file_on_stdin(processors: Mapping[str, Processor], folder: Path) -> tuple[str, Source] | None:
    """Standard input as one file, saved in a folder; None if its lines are the inputs.

    Returns:
        the modality that reads it, and the file.
    """
    from mmft_core.inference.sources import Piped

    binary = getattr(sys.stdin, "buffer", None)
    peek = getattr(binary, "peek", None)
    modality = _read_by(peek(_HEAD)[:_HEAD], processors) if peek is not None else None
    if binary is None or modality is None:
        return None
    path = folder / "input"
    with storage_errors(path), path.open("wb") as file:
        shutil.copyfileobj(binary, file)
    return modality, Piped(path)


def lines_on_stdin(processor: Processor, limits: Limits) -> Iterator[Source]:
    """The lines of standard input, as they come.

    Raises:
        DataError: they are not text.
    """
    from mmft_core.inference.sources import typed

    return typed(_text(sys.stdin), processor, limits)


def _read_by(head: bytes, processors: Mapping[str, Processor]) -> str | None:
    """The modality whose files start with these bytes; for other binary data, the first that only
    reads files."""
    from mmft_core.inference.sources import takes_names

    known = [m for m, processor in processors.items() if processor.sniff(head)]
    if known:
        return known[0]
    files = [m for m, processor in processors.items() if takes_names(processor)]
    return next(iter(files), None) if _is_binary(head) else None


def _is_binary(head: bytes) -> bool:
    """Whether bytes are neither text nor file names, which may hold odd bytes, too."""
    names = head.replace(b"\0", b"\n") if b"\0\0" not in head else head
    if b"\0" in names:
        return True
    try:
        codecs.getincrementaldecoder("utf-8")().decode(names)
    except UnicodeDecodeError:
        return not _UNPRINTED.isdisjoint(head)
    return b"\0" in head and not _UNPRINTED.isdisjoint(names)


def _text(stream: IO[str]) -> IO[str]:
    """The stream as UTF-8, with other bytes as `os.fsdecode` has them."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8", errors="surrogateescape")
    return stream
