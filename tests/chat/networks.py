"""Small chat models for tests, and chats with noise to be seen and heard."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmft_chat.backbone import ChatBackbone
from mmft_chat.conversations import Conversation, Kind, Media, Message, Part
from mmft_chat.families import FAMILIES
from mmft_core import discover
from mmft_core.contracts import BackboneContext, DatasetInfo, Sample, Split
from mmft_core.specs import BackboneSpec
from mmft_core.weights import WeightsRequest
from mmft_transformers.options import SIZES, Size
from tests.chat.tools import turn

RATE = 16_000


def picture(width: int, height: int, seed: int = 0) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()


def sound(seconds: float, seed: int = 0, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(seed).normal(0, 0.1, round(seconds * rate))
    soundfile.write(file, noise, rate, format="WAV")
    return file.getvalue()


def about(kind: Kind, question: str, answer: str, *media: Media) -> Conversation:
    parts = [Part(kind, media=own) for own in media]
    asked = Message("user", (*parts, Part("text", question)))
    return Conversation((asked, turn("assistant", answer)))


SEEN = [
    about("image", "What is this?", "a red seven", picture(20, 20)),
    about("image", "What is this?", "a blue three", picture(20, 30, 1), picture(40, 20, 2)),
]
HEARD = [
    about("audio", "What is this?", "a red seven", sound(1.0)),
    about("audio", "What is this?", "a blue three", sound(0.4, 1), sound(1.2, 2)),
]
SAID = [about("text", "What is this?", "a red seven"), about("text", "And this?", "a blue three")]


class Chats(Split):
    """Chats as a split."""

    def __init__(self, chats: Sequence[Conversation]) -> None:
        self.chats = chats

    def __len__(self) -> int:
        return len(self.chats)

    def __getitem__(self, index: int) -> Sample:
        return Sample({"chat": self.chats[index]}, "", self.sample_id(index))

    def sample_id(self, index: int) -> str:
        return str(index)


@pytest.fixture(scope="module", autouse=True)
def narrow() -> Any:
    """Makes tiny networks even smaller in a module that imports it."""
    usual = SIZES["tiny"]
    SIZES["tiny"] = Size(2, 48, 2)
    yield
    SIZES["tiny"] = usual


def chats_for(name: str) -> list[Conversation]:
    """Chats as a family reads them."""
    kind = next((family.kind for family in FAMILIES if family.name == name), "text")
    chats = {"text": SAID, "vision": SEEN, "audio": HEARD}[kind]
    return chats[:1] * 2 if name == "audio-flamingo-3" else list(chats)


def built(name: str, choice: str = "none", **more: Any) -> ChatBackbone:
    """The backbone of a name, on random weights or a folder's."""
    component = discover().get(BackboneSpec, name)
    options: dict[str, Any] = {"size": "tiny", "vocabulary": 500, "max_length": 512}
    context = BackboneContext(
        weights=WeightsRequest(choice, "chat"),
        info=DatasetInfo(name=""),
        needs=("chat",),
        train=None if "assets" in more else Chats(SAID),
        **{k: v for k, v in more.items() if k == "assets"},
    )
    own = {k: v for k, v in more.items() if k != "assets"}
    backbone = component.build(component.options_type()(**(options | own)), context)
    assert isinstance(backbone, ChatBackbone)
    return backbone.eval()


def saved(backbone: ChatBackbone, folder: Path) -> Path:
    """A folder of transformers with the network and all that it needs."""
    backbone.save_assets(folder)
    backbone.network.save_pretrained(folder)
    return folder


def collated(model: ChatBackbone, chats: Sequence[Conversation]) -> Any:
    processor = model.packed(join=None, learn="assistant")
    return processor.collate([processor.prepare(chat, train=True) for chat in chats])
