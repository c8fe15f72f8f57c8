"""Every family of the table, by a small network of its own architecture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmft_chat.families import FAMILIES
from mmft_chat.options import ChatOptions
from mmft_chat.task import Chat
from mmft_core import discover
from mmft_core.contracts import Batch
from mmft_core.specs import BackboneSpec
from tests.chat.networks import built, chats_for, collated, narrow, saved

__all__ = ["narrow"]

MIXES = ("granite-speech", "phi-4-multimodal")
"""What they make of a recording depends on the padding behind it."""


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_family_learns_writes_and_comes_back(family, tmp_path: Path) -> None:
    if discover().get(BackboneSpec, family.name).missing_extras():
        pytest.skip(f"mmft[{','.join(family.extras)}] is not installed")
    torch.manual_seed(0)
    model, chats = built(family.name), chats_for(family.name)
    assert model.loaded.source == "random"
    inputs = collated(model, chats)
    ids, samples = inputs["tokens"], inputs["samples"]
    for k, chat in enumerate(chats):  # What is learned is the answer, and its end.
        learned = model.tokenizer.decode(ids[inputs["learned"] & (samples == k)])
        assert learned.startswith(chat.answer) and "<|im_end|>" in learned

    nats, of = model.learned_nats(inputs, 3)
    alone = [model.learned_nats(collated(model, [chat]), 64)[0] for chat in chats]
    tolerance = 0.1 if family.name in MIXES else 1e-4
    torch.testing.assert_close(
        nats[of.argsort(stable=True)], torch.cat(alone), atol=tolerance, rtol=0
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    nats.mean().backward()
    optimizer.step()
    assert model.learned_nats(inputs, 64)[0].mean() < nats.mean()

    answers = written(model, chats)
    again = built(family.name, str(saved(model, tmp_path)))
    assert again.loaded.source == str(tmp_path)
    torch.testing.assert_close(
        again.learned_nats(collated(again, chats), 64)[0],
        model.learned_nats(inputs, 64)[0],
        atol=1e-5,
        rtol=1e-5,
    )
    assert written(again, chats) == answers


@torch.no_grad()
def written(model, chats) -> list[str]:
    task = Chat(model, ChatOptions(max_new_tokens=4)).eval()
    inputs = task.processor.collate([task.processor.prepare(c, train=False) for c in chats])
    found: list[str] = task(
        Batch(inputs={"chat": inputs}, targets=None, ids=[""] * len(chats))
    ).predictions
    return found
