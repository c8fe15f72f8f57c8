"""The memory of a step on chats, told without computing it."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch

from mmft_chat.conversations import Conversation
from mmft_chat.loss import chunked_nats, mean_nats
from mmft_chat.options import ChatOptions
from mmft_chat.task import Chat
from mmft_core.contracts import Batch, map_tensors
from mmft_core.engine.described import Described
from tests.chat.test_chat import CHATS, backbone, tokenizer
from tests.chat.test_preference import seeing, seen_pairs

__all__ = ["tokenizer"]


def peak(task: Chat, batch: Batch, *, computed: bool) -> int:
    mode, device = Described(computed=computed), torch.device("cpu")
    task = copy.deepcopy(task)
    mode.move(task, device)
    batch = replace(batch, inputs=map_tensors(batch.inputs, lambda t: mode.like(t, device)))
    with mode:
        loss = task.train()(batch).loss
        assert loss is not None
        loss.backward()
    return mode.peak


def batch_of(task: Chat, chats: list[Conversation]) -> Batch:
    inputs = task.processor.collate([task.processor.prepare(c, train=True) for c in chats])
    answers = {"text": [chat.answer for chat in chats]}
    return Batch(inputs={"chat": inputs}, targets=answers, ids=[str(k) for k in range(len(chats))])


@pytest.mark.parametrize("family", ["llama", "qwen2.5-vl"])
def test_a_described_step_holds_what_a_computed_one_holds(tokenizer: Any, family: str) -> None:
    """Whichever tokens are learned, and whatever pictures they hold."""
    language = family == "llama"
    model = backbone(tokenizer, family) if language else seeing(family)
    chats = CHATS if language else seen_pairs()
    task = Chat(model, ChatOptions(loss_chunk=4))
    batch = batch_of(task, list(chats))
    assert peak(task, batch, computed=False) == peak(task, batch, computed=True)


def test_the_logits_of_all_tokens_are_never_there() -> None:
    """At the vocabulary of Qwen, whose logits of so many tokens take 1.2 GB."""
    mode, head = Described(), torch.nn.Linear(16, 151_936, bias=False, device="meta")
    mode.move(head, torch.device("cpu"))
    targets = torch.zeros(2048, dtype=torch.int64)
    for nats in (chunked_nats, lambda *given: mean_nats(*given, [head.weight])):
        with mode:
            states = torch.empty(2048, 16).requires_grad_()
            nats(states, targets, head, 64).mean().backward()
        assert mode.peak < 2048 * 151_936 * 4 / 4
