"""Pictures and recordings of a chat: found beside the table, in it, or in data: URLs."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from mmft_chat.conversations import CALLED, Kind, Media
from mmft_core.errors import first_line
from mmft_tables.row_files import located, missing

_SOURCES = ("bytes", "data", "path", "url", "image", "audio", "image_url", "audio_url", "base64")
"""What the content or the place of a file stands under, in the forms that people have."""


def media_of(value: Any, folder: Path) -> Media | None:
    """The file that a cell, or a part of a message, holds or names; None if it has none.

    Args:
        folder: that relative paths start from.

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
    what, name = CALLED[kind], media.name if isinstance(media, Path) else "in the table"
    if isinstance(media, Path) and not media.is_file():
        raise ValueError(f"{what} {name}: {missing(media)}")
    try:
        if kind == "image":
            open_picture(media).load()
        else:
            import soundfile

            soundfile.info(io.BytesIO(media) if isinstance(media, bytes) else media)
    except Exception as error:  # Decoders raise anything on bytes that they did not expect.
        raise ValueError(f"{what} {name} cannot be read: {first_line(error)}") from None


def open_picture(media: Media) -> Any:
    """A picture as PIL opens it."""
    from PIL import Image

    return Image.open(io.BytesIO(media) if isinstance(media, bytes) else media)


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
