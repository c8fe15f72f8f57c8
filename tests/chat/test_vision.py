"""Chats with pictures, on tiny networks of several families."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from mmft_chat.backbone import ChatBackbone
from mmft_chat.conversations import Conversation, Message, Part, asked
from mmft_chat.held import held_chat, with_files
from mmft_chat.media_backbone import MediaChatBackbone
from mmft_chat.options import ChatOptions
from mmft_chat.task import Chat
from mmft_core.contracts import Batch
from mmft_core.errors import WeightsError
from tests.chat.networks import SEEN, about, narrow, picture, saved
from tests.chat.networks import built as small
from tests.chat.networks import collated as batch_of
from tests.chat.tools import turn

__all__ = ["narrow"]

FAMILIES = ("vision-chat", "idefics3", "qwen2.5-vl", "gemma-3-vision")
CHATS = SEEN


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights and processor of a family."""
    torch.manual_seed(0)
    return saved(small(request.param), tmp_path_factory.mktemp(request.param))


def built(choice: str, **more: Any) -> MediaChatBackbone:
    model = small("vision-chat", choice, **more)
    assert isinstance(model, MediaChatBackbone)
    return model


def collated(model: ChatBackbone, chats: Sequence[Conversation] = CHATS) -> Any:
    return batch_of(model, chats)


class Counted:
    """A processor of transformers that counts its calls."""

    def __init__(self, family: Any) -> None:
        self.family, self.calls = family, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.family, name)

    def __call__(self, **given: Any) -> Any:
        self.calls += 1
        return self.family(**given)


def test_answers_are_learned_as_transformers_would(folder: Path) -> None:
    """The loss is that of transformers on the same labels; no token of a picture is learned."""
    model = built(str(folder))
    inputs = collated(model)
    for row, learned, chat in zip(inputs["tokens"], inputs["learned"], CHATS, strict=True):
        assert model.tokenizer.decode(row[learned]) == f"{chat.answer}<|im_end|>"
    nats, samples = model.learned_nats(inputs, 3)
    labels = inputs["tokens"].masked_fill(~inputs["learned"], -100)
    plain = model.network(**model._arguments(inputs), labels=labels).loss
    torch.testing.assert_close(nats.mean(), plain, atol=1e-5, rtol=1e-5)
    assert samples.unique().tolist() == [0, 1]


def test_answers_are_written_alike_alone_and_in_a_batch(folder: Path) -> None:
    task = Chat(built(str(folder)), ChatOptions(max_new_tokens=4)).eval()
    together = task(Batch(inputs={"chat": collated(task.model)}, targets=None, ids=["0", "1"]))
    alone = [
        task(Batch(inputs={"chat": collated(task.model, [chat])}, targets=None, ids=["0"]))
        for chat in CHATS
    ]
    assert together.predictions == [outputs.predictions[0] for outputs in alone]
    question = [Conversation(chat.messages[:1]) for chat in CHATS]
    asked = task(Batch(inputs={"chat": collated(task.model, question)}, targets=None, ids=[""] * 2))
    assert asked.predictions == together.predictions


def test_large_pictures_are_scaled_down_where_that_is_asked_for() -> None:
    chat = about("image", "What is this?", "a seven", picture(100, 50), picture(20, 30))
    shapes = []
    for most in (None, 1800):
        model = small("qwen2.5-vl", max_pixels=most)
        item = model.packed(join=None, learn="assistant").prepare(chat, train=True)
        shapes.append([tuple(item[f"image.{k}"].shape) for k in (0, 1)])
    assert shapes == [[(50, 100, 3), (30, 20, 3)], [(30, 60, 3), (30, 20, 3)]]


def test_a_step_lowers_the_loss_and_is_kept(folder: Path, tmp_path: Path) -> None:
    model = built(str(folder))
    inputs = collated(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        loss = model.learned_nats(inputs, 64)[0].mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[1] < losses[0]
    model.save_assets(tmp_path)
    again = built("run", assets=tmp_path)
    again.load_state_dict(model.state_dict())
    torch.testing.assert_close(
        again.learned_nats(collated(again), 64)[0], model.learned_nats(inputs, 64)[0]
    )


def test_no_picture_is_cut(folder: Path) -> None:
    """A chat that is too long is refused; of several turns the first ones may be left out."""
    model = built(str(folder))
    processor = model.processor
    length = processor.collate([processor.prepare(CHATS[0], train=True)])["tokens"].shape[1]
    longer = Conversation((*CHATS[1].messages, *CHATS[0].messages))
    short = built(str(folder), max_length=length, overlong="truncate").processor
    assert "its first turns left out" in (short.inspect(longer, train=True) or "")
    own = short.collate([short.prepare(longer, train=True)])
    whole = processor.collate([processor.prepare(CHATS[0], train=True)])
    assert torch.equal(own["tokens"], whole["tokens"])
    assert torch.equal(own["pixel_values"], whole["pixel_values"])
    with pytest.raises(ValueError, match="even without its earlier turns"):
        short.inspect(CHATS[1], train=True)


def test_the_tokens_of_a_picture_are_counted_once_for_each_size(folder: Path) -> None:
    model = built(str(folder))
    family = Counted(model.processor.family)
    processor = replace(model.processor, family=family)
    length = processor.collate([processor.prepare(CHATS[0], train=True)])["tokens"].shape[1]
    before = family.calls
    processor.prepare(CHATS[0], train=True)
    assert family.calls == before
    just = replace(processor, max_length=length)  # Near the limit, all tokens are counted.
    assert just.inspect(CHATS[0], train=True) is None and family.calls == before + 1
    with pytest.raises(ValueError, match=f"{length} tokens long"):
        replace(processor, max_length=length - 1).inspect(CHATS[0], train=True)


def test_chats_without_pictures_go_beside_others(folder: Path) -> None:
    model = built(str(folder))
    mixed = [Conversation((turn("user", "Two?"), turn("assistant", "three"))), *CHATS]
    together = model.learned_nats(collated(model, mixed), 64)
    alone = [model.learned_nats(collated(model, [chat]), 64)[0] for chat in mixed]
    torch.testing.assert_close(together[0], torch.cat(alone), atol=1e-5, rtol=1e-4)


def test_recordings_are_refused(folder: Path) -> None:
    model = built(str(folder))
    heard = Message("user", (Part("audio", media=b"x"),))
    with pytest.raises(ValueError, match="reads only text and pictures"):
        model.processor.inspect(Conversation((heard, turn("assistant", "x"))))


def test_a_language_model_is_refused(tmp_path: Path) -> None:
    saved(small("chat-lm"), tmp_path)
    with pytest.raises(WeightsError, match="does not read pictures"):
        built(str(tmp_path))


def test_learned_tokens_are_shown_turn_by_turn(folder: Path) -> None:
    """Those that the loss counts; a picture is one thing of many tokens."""
    processor = built(str(folder)).packed(join=None, learn="assistant")
    chat = Conversation((*CHATS[1].messages, turn("user", "Two?"), turn("assistant", "three")))
    parts = processor.show_learned(chat)
    assert [part.label for part in parts] == [message.role for message in chat.messages]
    tokens = [token for part in parts for token in part.tokens]
    inputs = processor.collate([processor.prepare(chat, train=True)])
    assert sum(token.count for token in tokens) == inputs["tokens"].shape[1]
    assert sum(token.count for token in tokens if token.learned) == int(inputs["learned"].sum())
    answers = ["".join(t.text for t in part.tokens if t.learned) for part in parts[1::2]]
    assert answers == ["a blue three<|im_end|>", "three<|im_end|>"]
    assert any(token.count > 1 for token in parts[0].tokens)


def test_pictures_are_attached_to_questions(tmp_path: Path) -> None:
    """By a command line as files, by a program as paths, bytes or in memory."""
    file = tmp_path / "seven.png"
    file.write_bytes(picture(8, 8))
    chat = with_files(asked("What is this?"), [file], ("image",))
    assert chat.messages[-1].parts == (Part("image", media=file), Part("text", "What is this?"))
    with Image.open(file) as opened:
        for given in (file, str(file), file.read_bytes(), opened):
            part = {"type": "image", "image": given}
            held = held_chat([{"role": "user", "content": [part, "What is this?"]}])
            assert held is not None and len(held.media("image")) == 1
    assert held_chat([{"question": "What?"}]) is None and held_chat("What?") is None
    for wrong in (tmp_path / "none.png", tmp_path / "hum.wav"):
        with pytest.raises(ValueError, match="there is no such file|does not read recordings"):
            with_files(asked("What?"), [wrong], ("image",))
