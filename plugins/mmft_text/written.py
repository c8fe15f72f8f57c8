"""Tasks whose predictions are texts, whatever they are written from."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from rouge_score.rouge_scorer import RougeScorer
from torch import Tensor

from mmft_core.config import Generation
from mmft_core.contracts import (
    PADDING,
    Batch,
    Generator,
    Graph,
    Outputs,
    Runner,
    TargetCodec,
    Task,
    Tensors,
)
from mmft_text.metrics import rouge_scorer


class WrittenCodec(TargetCodec):
    """Texts as {"tokens": (B, T), "text": list of B}."""

    def __init__(self, tokens: TargetCodec, max_length: int, noun: str) -> None:
        """Args:
        tokens: the codec of the backbone that writes them.
        max_length: most tokens of a text, its end among them.
        noun: what such a text is called.
        """
        self.tokens, self.max_length, self.noun = tokens, max_length, noun

    def encode(self, target: str) -> tuple[str, Tensor]:
        ids = self._ids(target)
        if len(ids) > self.max_length:
            ids = torch.cat([ids[: self.max_length - 1], ids[-1:]])
        return target, ids

    def collate(self, targets: Sequence[tuple[str, Tensor]]) -> dict[str, Any]:
        texts, tokens = zip(*targets, strict=True)
        return {"tokens": self.tokens.collate(tokens), "text": list(texts)}

    def measure(self, target: str) -> int:
        return min(self.max_length, len(self._ids(target)))

    def inspect(self, target: str) -> str | None:
        if len(self._ids(target)) <= self.max_length:
            return None
        return f"{self.noun} longer than {self.max_length} tokens, cut off for the loss"

    def _ids(self, target: str) -> Tensor:
        if not target.strip():
            raise ValueError(f"its {self.noun} is empty")
        ids: Tensor = self.tokens.encode(target)
        return ids


class Written(Task):
    """Predictions are lists of texts, which the backbone of the modality "text" writes.

    Attributes:
        noun: what such a text is called, also in records.
    """

    noun: ClassVar[str]

    def __init__(self, writer: Generator, generation: Generation, max_target_length: int) -> None:
        super().__init__()
        self.generation = generation
        self.codec = WrittenCodec(writer.codec, max_target_length, self.noun)

    @property
    def writer(self) -> Generator:
        writer = self.backbone("text")
        assert isinstance(writer, Generator)
        return writer

    @abstractmethod
    def source(self, batch: Batch) -> Tensors:
        """What the writer is given."""

    def graphs(self, batch: Batch) -> Sequence[Graph]:
        return self.writer.graphs(self.source(batch))

    def adopt(self, runners: Mapping[str, Runner]) -> Task:
        self.writer.adopt(runners)
        return self

    def weight(self, batch: Batch) -> int:
        """The number of tokens to be written."""
        return int((batch.targets["tokens"] != PADDING).sum()) if batch.targets else len(batch)

    def forward(self, batch: Batch) -> Outputs:
        source = self.source(batch)
        loss, texts = None, None
        if batch.targets is not None:
            tokens = batch.targets["tokens"]
            losses = self.writer.token_losses(source, tokens)
            loss = losses.sum() / (tokens != PADDING).sum().clamp(min=1)
            texts = batch.targets["text"]
        written = None
        if self.predicting:
            written = self.writer.generate(source, self.generation)
        return Outputs(loss, written, texts)

    def decode(self, predictions: Sequence[str], top_k: int = 1) -> list[dict[str, Any]]:
        return [{self.noun: text} for text in predictions]

    def rank(self, predictions: Sequence[str], targets: Any) -> dict[str, Tensor]:
        """By ROUGE-L to the reference."""
        scores = [_rouge_l(p, t) for p, t in zip(predictions, targets, strict=True)]
        likeness = torch.tensor(scores)
        return {"Least like the reference": -likeness, "Most like the reference": likeness}


def _rouge_l(prediction: str, reference: str) -> float:
    """F1 of the longest common subsequence of words, 0 to 1."""
    return float(_scorer().score(reference, prediction)["rougeL"].fmeasure)


@functools.cache
def _scorer() -> RougeScorer:
    return rouge_scorer(["rougeL"])
