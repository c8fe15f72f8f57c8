"""Chats with pictures and recordings that share rows: as if each had one of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mmft_chat.backbone import ChatBackbone
from mmft_chat.conversations import Conversation
from mmft_chat.options import ChatOptions
from mmft_chat.packing import shared_rows
from mmft_chat.task import Chat
from mmft_core.contracts import Batch
from mmft_core.errors import IncompatibleError, WeightsError
from tests.chat.networks import HEARD, SEEN, built, narrow
from tests.chat.tools import turn

__all__ = ["narrow"]

FAMILIES = (
    "qwen2.5-vl",  # Positions in three dimensions.
    "qwen3-vl",  # Features of pictures in several layers.
    "idefics3",  # Pictures in pieces, padded with empty ones.
    "llava-onevision",
    "gemma-3-vision",  # A picture attends to all of itself, in layers of two kinds.
    "paligemma",  # All before the answer attends to all of itself.
    "internvl3",
    "qwen2-audio",
)


def chats_of(model: ChatBackbone) -> list[Conversation]:
    """Of different lengths."""
    first, second = HEARD if model.processor.reads == ("audio",) else SEEN
    if model.processor.holds != "any" or first is HEARD[0]:
        return [first, second, first]
    longer = Conversation((first.messages[0], turn("assistant", "a red seven, or two of them")))
    more = Conversation((*first.messages, turn("user", "Two?"), turn("assistant", "three")))
    return [first, second, longer, more]


def collated(model: ChatBackbone, *, join: bool) -> Any:
    processor = model.packed(join=join, learn="assistant")
    return processor.collate([processor.prepare(c, train=True) for c in chats_of(model)])


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_chats_have_the_loss_and_gradients_of_lone_ones(family: str) -> None:
    torch.manual_seed(0)
    model = built(family)
    for attention in ("sdpa", "eager"):
        model.network.set_attn_implementation(attention)
        found = []
        for join in (False, True):
            model.zero_grad()
            inputs = collated(model, join=join)
            nats, chats = model.learned_nats(inputs, 64)
            nats.mean().backward()
            gradients = [p.grad for p in model.parameters() if p.grad is not None]
            found.append((nats.detach(), chats, gradients, model.encode(inputs).pooled.detach()))
        assert len(inputs["rows"]) < len(inputs["tokens"])
        assert inputs["rows"].numel() < inputs["tokens"].numel()
        torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-5)


def test_what_was_found_by_trying_is_read_with_the_assets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = built("qwen2.5-vl")
    assert model.packed(join=None, learn="assistant").join
    model.save_assets(tmp_path)
    monkeypatch.setattr(type(model), "_try_packing", lambda self: "it is tried again")
    again = built("qwen2.5-vl", "run", assets=tmp_path)
    assert again.packed(join=None, learn="assistant").join and again.trials == model.trials
    (tmp_path / "trials.json").write_text('{"mixes": 1}')
    with pytest.raises(WeightsError, match=r"trials\.json cannot be read: .*mixes"):
        built("qwen2.5-vl", "run", assets=tmp_path)


def test_a_batch_weighs_and_answers_the_same_when_it_is_packed() -> None:
    torch.manual_seed(0)
    model = built("qwen2.5-vl")
    found = []
    for packing in (None, False):
        task = Chat(model, ChatOptions(packing=packing, max_new_tokens=4)).eval()
        chats = chats_of(model)
        inputs = task.processor.collate([task.processor.prepare(c, train=True) for c in chats])
        assert ("rows" in inputs) is (packing is None)
        targets = {"text": [chat.answer for chat in chats]}
        batch = Batch(inputs={"chat": inputs}, targets=targets, ids=[""] * len(chats))
        outputs = task(batch)
        assert outputs.targets == targets["text"]
        found.append((task.weight(batch), float(outputs.loss.detach()), outputs.predictions))
    assert found[0] == (found[1][0], pytest.approx(found[1][1], abs=1e-5), found[1][2])


@pytest.mark.parametrize(
    ("family", "given"),
    [("llama-3.2-vision", "cross_attention_states"), ("phi-4-multimodal", "image_pixel_values")],
)
def test_a_network_that_is_given_more_than_tokens_is_refused(family: str, given: str) -> None:
    model = built(family)
    with pytest.raises(IncompatibleError, match=f"type {model.config.model_type} cannot .*{given}"):
        Chat(model, ChatOptions(packing=True))
    assert not Chat(model, ChatOptions()).processor.join


def test_a_network_that_mixes_packed_chats_is_refused() -> None:
    model = built("vision-chat")
    norm: Any = model.network.get_decoder().norm
    norm.register_forward_hook(lambda module, given, states: states + states.cumsum(1))
    with pytest.raises(IncompatibleError, match="packing changes the hidden states"):
        model.packed(join=True, learn="assistant")
    assert not model.packed(join=None, learn="assistant").join
    assert built("vision-chat").packed(join=None, learn="assistant").join


def test_rows_keep_the_order_and_hold_little_padding() -> None:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(20, 900, (40,), generator=generator).tolist()
    for longest, waste in ((900, 1.5), (2048, 1.2), (10**6, 1.1)):
        rows = shared_rows(lengths, longest, in_order=True)
        assert [k for row in rows for k in row] == list(range(len(lengths)))
        widths = [sum(lengths[k] for k in row) for row in rows]
        assert max(widths) <= longest
        assert len(rows) * max(widths) <= sum(lengths) * waste
    # Nothing would be saved.
    assert shared_rows([50, 50, 49], 2048, in_order=True) == [[0], [1], [2]]
    assert shared_rows([900], 64, in_order=True) == [[0]]
