"""Chat: the assistant's turns, written by a model that has read those before them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mmft_chat.answering import Answering
from mmft_chat.backbone import ChatBackbone
from mmft_chat.learned import Learn
from mmft_chat.metrics import token_f1
from mmft_chat.options import AnswerOptions, ChatOptions
from mmft_core.contracts import (
    Batch,
    Graph,
    Outputs,
    Processor,
    Runner,
    TargetCodec,
    Task,
    TaskContext,
)


class AnswerCodec(TargetCodec):
    """Last answers as {"text": list of B}; their tokens are in the chats."""

    def encode(self, target: str) -> str:
        if not target.strip():
            raise ValueError("its answer is empty")
        return target

    def collate(self, targets: Sequence[str]) -> dict[str, list[str]]:
        return {"text": list(targets)}


class Chat(Answering, Task):
    """Predictions are lists of answers to the turns before the last of the assistant's."""

    reads = ()

    def __init__(
        self, backbone: ChatBackbone, options: AnswerOptions, learn: Learn = "assistant"
    ) -> None:
        super().__init__()
        self.backbones = nn.ModuleDict({"chat": backbone})
        self.codec: TargetCodec = AnswerCodec()
        self.generation, self.chunk = options, options.loss_chunk
        self.processor = backbone.packed(join=options.packing, learn=learn)

    @property
    def model(self) -> ChatBackbone:
        backbone = self.backbones["chat"]
        assert isinstance(backbone, ChatBackbone)
        return backbone

    @property
    def processors(self) -> dict[str, Processor]:
        return {"chat": self.processor}

    def weight(self, batch: Batch) -> int:
        """The number of learned tokens."""
        return int(self.model.predicted(batch.inputs["chat"]).sum())

    def forward(self, batch: Batch) -> Outputs:
        inputs = batch.inputs["chat"]
        loss = None
        if batch.targets is not None:
            loss = self.model.learned_mean(inputs, self.chunk)
        if not self.predicting:
            return Outputs(loss)
        return Outputs(loss, self.model.write(inputs, self.generation), self.targets_of(batch))

    def targets_of(self, batch: Batch) -> list[str] | None:
        """Last answers as the chat template renders them, such as calls of tools."""
        return None if batch.targets is None else self.model.references(batch.inputs["chat"])

    def graphs(self, batch: Batch) -> Sequence[Graph]:
        return self.model.graphs()

    def adopt(self, runners: Mapping[str, Runner]) -> Task:
        self.model.adopt(runners)
        self.processor = replace(self.processor, join=False)  # Graphs do not keep chats apart.
        return self

    def decode(self, predictions: Sequence[str], top_k: int = 1) -> list[dict[str, Any]]:
        return [{"answer": text} for text in predictions]

    def rank(self, predictions: Sequence[str], targets: Sequence[str]) -> dict[str, Tensor]:
        """By the words that an answer shares with the reference."""
        shared = [token_f1(p, t) for p, t in zip(predictions, targets, strict=True)]
        likeness = torch.tensor(shared)
        return {"Least like the reference": -likeness, "Most like the reference": likeness}


def build(options: ChatOptions, context: TaskContext) -> Chat:
    """Build the task on a chat backbone."""
    backbone = context.backbones["chat"]
    assert isinstance(backbone, ChatBackbone)
    return Chat(backbone, options, options.learn)
