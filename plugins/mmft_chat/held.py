"""Chats that a program or a command line holds, in which files of the machine may be named."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmft_chat.conversations import CALLED, Conversation, Kind, Part, check_order
from mmft_chat.media import check_media
from mmft_chat.reading import messages_of

_RECORDINGS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".aiff")


def kind_of(file: Path) -> Kind:
    """What a file is, by its name: a recording or a picture."""
    return "audio" if file.suffix.lower() in _RECORDINGS else "image"


def with_files(raw: Conversation, files: Sequence[Path], reads: Sequence[Kind]) -> Conversation:
    """A chat whose last turn begins with the content of files.

    Args:
        reads: what the model takes.

    Raises:
        ValueError: a file cannot be read, or is of a kind that the model does not take.
    """
    parts = []
    for file in files:
        kind = kind_of(file)
        if kind not in reads:
            raise ValueError(f"the model does not read {CALLED[kind]}s, such as {file.name}")
        check_media(file, kind)
        parts.append(Part(kind, media=file))
    last = raw.messages[-1]
    asked = replace(last, parts=(*parts, *last.parts))
    return replace(raw, messages=(*raw.messages[:-1], asked))


def held_chat(value: Any) -> Conversation | None:
    """The chat that a list of messages is; None if it is something else.

    Raises:
        ValueError: it is a chat that cannot be used.
    """
    if not isinstance(value, list | tuple) or not value:
        return None
    if not all(isinstance(item, Mapping) and "role" in item for item in value):
        return None
    messages = messages_of([_plain(item) for item in value], Path())
    check_order(messages)
    for message in messages:
        for part in message.parts:
            if part.media is not None:
                check_media(part.media, part.kind)
    return Conversation(tuple(messages))


def _plain(value: Any) -> Any:
    """A message in which pictures in memory are files, and paths are texts."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "save") and hasattr(value, "convert"):  # A PIL image.
        file = io.BytesIO()
        value.convert("RGB").save(file, "PNG")
        return file.getvalue()
    return value
