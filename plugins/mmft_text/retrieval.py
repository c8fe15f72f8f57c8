"""Text retrieval: a query finds the text that belongs to it.

The inputs are the texts, the targets their queries, and one backbone embeds both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from mmft_core.contracts import Backbone, Batch, Outputs, Processor, TargetCodec, TaskContext
from mmft_retrieval.losses import symmetric_info_nce
from mmft_retrieval.task import Embedding, stable_hash
from mmft_text.options import TextRetrievalOptions


class QueryCodec(TargetCodec):
    """Queries as the backbone's processor prepares them. Equal ones find each other's texts."""

    def __init__(self, processor: Processor) -> None:
        self.processor = processor

    def encode(self, target: Any) -> dict[str, Any]:
        """Give {"group": a hash of the query, "inputs": what the processor prepares}."""
        _check(target)
        inputs = self.processor.prepare(target, train=False)
        return {"group": stable_hash(target), "inputs": inputs}

    def collate(self, targets: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {
            "group": torch.tensor([t["group"] for t in targets], dtype=torch.int64),
            "inputs": self.processor.collate([t["inputs"] for t in targets]),
        }

    def measure(self, target: Any) -> int:
        _check(target)
        return self.processor.measure(target) or 0

    def inspect(self, target: Any) -> str | None:
        _check(target)
        change = self.processor.inspect(target)
        return None if change is None else f"query {change}"


class TextRetrieval(Embedding):
    """Pairs of a text and its query are to find each other among those of the batch."""

    def __init__(self, backbone: Backbone, temperature: float) -> None:
        super().__init__("text", backbone)
        self.temperature = temperature
        self.codec = QueryCodec(backbone.processor)

    def forward(self, batch: Batch) -> Outputs:
        items = self.embed(batch.inputs["text"])
        loss, targets = None, None
        if batch.targets is not None:
            group = batch.targets["group"]
            queries = self.embed(batch.targets["inputs"])
            loss = symmetric_info_nce(queries, items, group, self.temperature)
            targets = {"group": group, "query": queries}
        return Outputs(loss, None if self.training else items, targets)


def build(options: TextRetrievalOptions, context: TaskContext) -> TextRetrieval:
    """Build the task on the text backbone."""
    return TextRetrieval(context.backbones["text"], options.temperature)


def _check(query: Any) -> None:
    if not isinstance(query, str) or not query.strip():
        raise ValueError(f"its query {query!r} is not a text")
