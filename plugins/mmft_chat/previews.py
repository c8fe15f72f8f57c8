"""A chat as a report shows it: turns with pictures and players."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmft_chat.conversations import Conversation, Media, Message
from mmft_chat.media import open_picture
from mmft_core.contracts import Preview

_SIDE = 512
"""Pixels of a picture's longer side, at most."""
_SECONDS = 20
"""Of a recording that can be heard."""


def turns(messages: Sequence[Message]) -> list[Preview]:
    """The parts of messages in their order, each labelled with the role of its turn."""
    return [preview for message in messages for preview in _of(message)]


def before_the_answer(raw: Conversation) -> Sequence[Message]:
    """What a model is given: all but the last answer."""
    last = raw.messages[-1]
    return raw.messages[:-1] if last.role == "assistant" else raw.messages


def _of(message: Message) -> Iterator[Preview]:
    if message.reasoning:
        yield _text(f"({message.reasoning.strip()})", message.role)
    for part in message.parts:
        if part.media is None:
            if part.text.strip():
                yield _text(part.text.strip(), message.role)
            continue
        with contextlib.suppress(Exception):  # It was read before; decoders raise anything.
            read = _picture if part.kind == "image" else _player
            yield read(part.media, message.role)
    for call in message.tool_calls:
        written = json.dumps(dict(call.arguments), ensure_ascii=False)
        yield _text(f"{call.name}({written})", message.role)


def _text(text: str, role: str) -> Preview:
    return Preview("text/plain", text.encode("utf-8", "replace"), role)


def _picture(media: Media, role: str) -> Preview:
    with open_picture(media) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((_SIDE, _SIDE))
    file = io.BytesIO()
    small = picture.width * picture.height <= 128 * 128
    picture.save(file, "PNG" if small else "JPEG", quality=85)
    return Preview("image/png" if small else "image/jpeg", file.getvalue(), role)


def _player(media: Media, role: str) -> Preview:
    import soundfile

    source = media if isinstance(media, Path) else io.BytesIO(media)
    with soundfile.SoundFile(source) as file:
        wave = file.read(_SECONDS * file.samplerate, dtype="int16")
        rate = file.samplerate
    written = io.BytesIO()
    soundfile.write(written, wave if wave.ndim == 1 else wave[:, 0], rate, format="WAV")
    return Preview("audio/wav", written.getvalue(), role)
