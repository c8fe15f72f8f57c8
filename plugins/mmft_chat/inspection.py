"""What `mmft data check` learns of a chat: that of all that is said in it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mmft_chat.conversations import Conversation
from mmft_chat.media import check_media
from mmft_core.contracts import Bytes, Floats, Inspector, Preview, Traits
from mmft_core.errors import SampleError
from mmft_text.inspection import TextInspector


class ChatInspector(Inspector):
    """Compares chats as texts, and opens what is seen and heard in them."""

    unit = "words"
    least_long = TextInspector.least_long
    alike = TextInspector.alike

    def __init__(self) -> None:
        self._texts = TextInspector()

    def inspect(self, raw: Conversation) -> Traits:
        for message in raw.messages:
            for part in message.parts:
                if part.media is not None:
                    try:
                        check_media(part.media, part.kind)
                    except ValueError as error:
                        raise SampleError("chat", str(error)) from None
        found = self._texts.inspect(_said(raw))
        media = raw.media()
        if not media:
            return found
        # The same question about another picture is another chat, however alike the texts are.
        digest = hashlib.sha256(found.digest)
        for one in media:
            content = one.read_bytes() if isinstance(one, Path) else one
            digest.update(hashlib.sha256(content).digest())
        return replace(found, digest=digest.digest(), bands=())

    def similarity(self, one: Bytes, others: Bytes) -> Floats:
        return self._texts.similarity(one, others)

    def cells(self, raw: Conversation) -> Mapping[str, str]:
        return {"text": _said(raw)}

    def preview(self, raw: Conversation) -> Preview:
        return self._texts.preview(_said(raw))


def _said(raw: Conversation) -> str:
    return "\n".join(message.answer for message in raw.messages)
