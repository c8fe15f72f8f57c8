"""How much a chat holds, for limits on what is served."""

from __future__ import annotations

import io

from mmft_chat.conversations import Conversation
from mmft_chat.media import check_media, open_picture
from mmft_core.contracts import Extent


def extents(chat: Conversation) -> list[Extent]:
    """How much a chat holds, told without decoding it.

    Raises:
        ValueError: a picture or recording cannot be opened.
    """
    found = [Extent(sum(len(message.text) for message in chat.messages), "characters")]
    for message in chat.messages:
        for part in message.parts:
            if part.media is None or not isinstance(part.media, bytes):
                continue
            try:
                found.append(_extent(part.media, part.kind))
            except Exception:  # Decoders raise anything on bytes that they did not expect.
                check_media(part.media, part.kind)
    return found


def _extent(media: bytes, kind: str) -> Extent:
    if kind == "image":
        with open_picture(media) as picture:
            return Extent(picture.width * picture.height, "pixels")
    import soundfile

    return Extent(soundfile.info(io.BytesIO(media)).duration, "seconds")
