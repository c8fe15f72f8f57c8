"""Pictures and recordings of a chat: found beside the table, in it, or in data: URLs."""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes

import numpy as np

from mmft_chat.conversations import CALLED, Kind, Media
from mmft_core.errors import SampleError, first_line
from mmft_tables.row_files import located, missing

_SOURCES = (
    "bytes", "data", "path", "url", "image", "audio", "image_url", "audio_url", "input_audio",
    "base64",
)  # fmt: skip
"""What the content or the place of a file stands under, in the forms that people have."""


def media_of(value: Any, folder: Path | None) -> Media | None:
    """The file that a cell, or a part of a message, holds or names; None if it has none.

    Args:
        folder: that relative paths start from; None where no file may be named.

    Raises:
        ValueError: it is nothing that could be read.
    """
    if value is None or value == "":
        return None
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str):
        if value[:5].lower() == "data:":
            return _decoded(value)
        if folder is None:
            raise ValueError(
                "a picture or recording in it is not a data: URL; nothing is fetched, and no file "
                "is opened"
            )
        return located(folder, value)
    if isinstance(value, Mapping):
        if isinstance(value.get("data"), str) and "format" in value:  # OpenAI's input_audio.
            return _base64(value["data"])
        for source in _SOURCES:
            if value.get(source) is not None:
                return media_of(value[source], folder)
        return None
    raise ValueError(f"a picture or recording cannot be a {type(value).__name__}")


def check_media(media: Media, kind: Kind) -> None:
    """Read a file as far as is needed to know that it is sound.

    Raises:
        ValueError: it is not there, or not what it should be.
    """
    what, name = CALLED[kind], name_of(media)
    if isinstance(media, Path) and not media.is_file():
        raise ValueError(f"{what} {name}: {missing(media)}")
    try:
        if kind == "image":
            open_picture(media).load()
        else:
            from mmft_audio import recordings

            recordings.check(_recording(media))
    except Exception as error:  # Decoders raise anything on bytes that they did not expect.
        raise ValueError(f"{what} {name} cannot be read: {_reason(error)}") from None


def open_picture(media: Media) -> Any:
    """A picture as PIL opens it."""
    from PIL import Image

    return Image.open(io.BytesIO(media) if isinstance(media, bytes) else media)


def picture(media: Media, most: int | None = None) -> np.ndarray[Any, Any]:
    """A picture (H, W, 3) in RGB, as uint8.

    Args:
        most: pixels, to which a larger one is scaled down; None for any number.
    """
    found = open_picture(media).convert("RGB")
    if most is not None and found.width * found.height > most:
        scale = math.sqrt(most / (found.width * found.height))
        found = found.resize(tuple(max(1, int(side * scale)) for side in found.size))
    return np.array(found, dtype=np.uint8)


def recording(media: Media, rate: int) -> np.ndarray[Any, Any]:
    """A recording (T,) as float32 in -1 to 1, the mean of its channels.

    Args:
        rate: samples a second, to which it is resampled.

    Raises:
        ValueError: it cannot be read.
    """
    from mmft_audio import recordings

    try:
        return recordings.load(_recording(media), rate).numpy()
    except SampleError as error:
        raise ValueError(f"recording {name_of(media)} cannot be read: {error.reason}") from None


def seconds(media: Media) -> float:
    """How long a recording is.

    Raises:
        ValueError: it cannot be read.
    """
    from mmft_audio import recordings

    try:
        return recordings.seconds(_recording(media))
    except SampleError as error:
        raise ValueError(f"recording {name_of(media)} cannot be read: {error.reason}") from None


@dataclass(frozen=True, slots=True)
class _Held:
    """The content of a file, opened as a file is."""

    content: bytes

    def __str__(self) -> str:
        return "in the table"

    def open(self) -> BinaryIO:
        return io.BytesIO(self.content)


def _recording(media: Media) -> Any:
    from mmft_audio.recordings import Recording

    file: Any = _Held(media) if isinstance(media, bytes) else media
    return Recording(file)


def name_of(media: Media) -> str:
    """What messages call it."""
    return media.name if isinstance(media, Path) else "in the table"


def _reason(error: Exception) -> str:
    return error.reason if isinstance(error, SampleError) else first_line(error)


def _decoded(url: str) -> bytes:
    head, comma, content = url.partition(",")
    if not comma:
        raise ValueError("a data: URL in it has no content")
    if head.lower().endswith(";base64"):
        return _base64(content)
    return unquote_to_bytes(content)


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the content of a picture or recording is not valid base64") from None
