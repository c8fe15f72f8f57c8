"""Summarization: one text in, a shorter one out, by whatever backbone writes text.

A language model is given a prompt with the source and learns from the summary alone; an
encoder-decoder reads the source as it is.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from rouge_score.rouge_scorer import RougeScorer
from torch import Tensor, nn

from mmft_core.contracts import (
    PADDING,
    Batch,
    Generator,
    Outputs,
    Processor,
    TargetCodec,
    Task,
    TaskContext,
)
from mmft_core.errors import ConfigError
from mmft_text.metrics import rouge_scorer
from mmft_text.options import SummarizationOptions
from mmft_text.processing import TextProcessor

_PLACE = "{text}"


class SummaryCodec(TargetCodec):
    """Summaries as {"tokens": (B, T), "text": list of B}."""

    def __init__(self, tokens: TargetCodec, max_length: int) -> None:
        """Args:
        tokens: the codec of the backbone that writes them.
        max_length: most tokens of a summary, its end among them.
        """
        self.tokens, self.max_length = tokens, max_length

    def encode(self, target: str) -> tuple[str, Tensor]:
        ids = self._ids(target)
        if len(ids) > self.max_length:
            ids = torch.cat([ids[: self.max_length - 1], ids[-1:]])
        return target, ids

    def collate(self, targets: Sequence[tuple[str, Tensor]]) -> dict[str, Any]:
        texts, tokens = zip(*targets, strict=True)
        return {"tokens": self.tokens.collate(tokens), "text": list(texts)}

    def inspect(self, target: str) -> str | None:
        if len(self._ids(target)) <= self.max_length:
            return None
        return f"summary longer than {self.max_length} tokens, cut off for the loss"

    def _ids(self, target: str) -> Tensor:
        if not target.strip():
            raise ValueError("its summary is empty")
        ids: Tensor = self.tokens.encode(target)
        return ids


class Summarization(Task):
    """Predictions are lists of texts."""

    def __init__(self, backbone: Generator, options: SummarizationOptions) -> None:
        super().__init__()
        self.backbones = nn.ModuleDict({"text": backbone})
        self.options = options
        self.codec = SummaryCodec(backbone.codec, options.max_target_length)
        self.processor = _prompted(backbone, options)

    @property
    def processors(self) -> dict[str, Processor]:
        return {"text": self.processor}

    @property
    def writer(self) -> Generator:
        writer = self.backbone("text")
        assert isinstance(writer, Generator)
        return writer

    def weight(self, batch: Batch) -> int:
        """The number of tokens to be written."""
        return int((batch.targets["tokens"] != PADDING).sum()) if batch.targets else len(batch)

    def forward(self, batch: Batch) -> Outputs:
        loss, texts = None, None
        if batch.targets is not None:
            tokens = batch.targets["tokens"]
            losses = self.writer.token_losses(batch.inputs["text"], tokens)
            loss = losses.sum() / (tokens != PADDING).sum().clamp(min=1)
            texts = batch.targets["text"]
        written = None
        if not self.training:
            written = self.writer.generate(batch.inputs["text"], self.options)
        return Outputs(loss, written, texts)

    def decode(self, predictions: Sequence[str], top_k: int = 1) -> list[dict[str, Any]]:
        return [{"summary": text} for text in predictions]

    def rank(self, predictions: Sequence[str], targets: Any) -> dict[str, Tensor]:
        """By ROUGE-L to the reference."""
        scores = [_rouge_l(p, t) for p, t in zip(predictions, targets, strict=True)]
        likeness = torch.tensor(scores)
        return {"Least like the reference": -likeness, "Most like the reference": likeness}


def _prompted(backbone: Generator, options: SummarizationOptions) -> Processor:
    """The backbone's preprocessing, with the prompt around each text and room for the summary.

    Raises:
        ConfigError: the prompt has no place for the text, or the backbone takes none.
    """
    prefix, place, suffix = (options.prompt or backbone.prompt).partition(_PLACE)
    if not place or _PLACE in suffix:
        raise ConfigError(
            f"task.prompt = {options.prompt!r} must hold {_PLACE} once, where the source goes.",
            hint="For example: --set task.prompt='Summarize: {text}'",
        )
    processor, room = backbone.processor, max(options.max_target_length, options.max_new_tokens)
    if isinstance(processor, TextProcessor):
        return processor.with_prompt(prefix, suffix, room)
    if options.prompt is not None:
        raise ConfigError("task.prompt is set, but the backbone takes no prompt.")
    return processor


def _rouge_l(prediction: str, reference: str) -> float:
    """F1 of the longest common subsequence of words, 0 to 1."""
    return float(_scorer().score(reference, prediction)["rougeL"].fmeasure)


@functools.cache
def _scorer() -> RougeScorer:
    return rouge_scorer(["rougeL"])


def build(options: SummarizationOptions, context: TaskContext) -> Summarization:
    """Build the task on a text backbone that generates."""
    backbone = context.backbones["text"]
    assert isinstance(backbone, Generator)
    return Summarization(backbone, options)
