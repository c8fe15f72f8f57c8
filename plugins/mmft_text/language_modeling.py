"""Language modelling: each token from those before it, several texts packed into a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmft_core.contracts import (
    Batch,
    Graph,
    GraphPart,
    NoTargets,
    Outputs,
    Processor,
    Runner,
    Task,
    TaskContext,
    Tensors,
    flatten_tensors,
    input_axes,
)
from mmft_text.causal import CausalBackbone
from mmft_text.options import LanguageModelingOptions


class LanguageModeling(Task):
    """Predictions are the nats of each text's tokens (B,), targets their numbers (B,)."""

    def __init__(self, backbone: CausalBackbone, options: LanguageModelingOptions) -> None:
        super().__init__()
        self.backbones = nn.ModuleDict({"text": backbone})
        self.codec = NoTargets()
        self.processor = backbone.packed(join=options.packing)
        self._runner: Runner | None = None  # Of an export, in place of the backbone.

    @property
    def processors(self) -> dict[str, Processor]:
        return {"text": self.processor}

    def weight(self, batch: Batch) -> int:
        """The number of tokens that are predicted."""
        return int(_predicted(batch.inputs["text"]).sum())

    def forward(self, batch: Batch) -> Outputs:
        inputs = batch.inputs["text"]
        losses, predicted = self._losses(inputs), _predicted(inputs)
        loss = losses.sum() / predicted.sum().clamp(min=1)
        if self.training:
            return Outputs(loss)
        belongs = inputs["samples"][predicted]
        nats = losses.new_zeros(len(batch)).index_add(0, belongs, losses[predicted])
        return Outputs(loss, nats, torch.bincount(belongs, minlength=len(batch)))

    def _losses(self, inputs: Tensors) -> Tensor:
        """The nats (R, L) of each token of packed rows."""
        if self._runner is not None:
            return self._runner(flatten_tensors({"text": inputs}))["nats"]
        backbone = self.backbone("text")
        assert isinstance(backbone, CausalBackbone)
        return backbone.packed_losses(inputs)

    def graphs(self, batch: Batch) -> Sequence[Graph]:
        """From packed rows to the nats of their tokens; what belongs together is added outside."""
        axes = input_axes(self.processors, batch.inputs)
        rows = {name: {**own, 0: "rows"} for name, own in axes.items()}
        part = GraphPart(self, lambda inputs: {"nats": self._losses(inputs["text"])})
        example = _two_rows(batch.inputs["text"])
        return [
            Graph(name="model", module=part, inputs=flatten_tensors({"text": example}), axes=rows)
        ]

    def adopt(self, runners: Mapping[str, Runner]) -> Task:
        self._runner = runners["model"]
        del self.backbones["text"]
        return self

    def decode(self, predictions: Tensor, top_k: int = 1) -> list[dict[str, Any]]:
        return [{"nats": round(nats, 4)} for nats in predictions.tolist()]

    def rank(self, predictions: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """By the mean loss of a token."""
        mean = predictions / targets.clamp(min=1)
        return {"Least expected": mean, "Most expected": -mean}


def _predicted(inputs: Tensors | Mapping[str, Tensor]) -> Tensor:
    """(R, L) bool: the tokens that have others of their text before them."""
    return (inputs["samples"] >= 0) & (inputs["positions"] > 0)


def _two_rows(inputs: Tensors) -> Tensors:
    """At least two of them, for a graph's example."""
    return {n: torch.cat([t, t]) if len(t) == 1 else t for n, t in inputs.items()}


def build(options: LanguageModelingOptions, context: TaskContext) -> LanguageModeling:
    """Build the task on a causal language model."""
    backbone = context.backbones["text"]
    assert isinstance(backbone, CausalBackbone)
    return LanguageModeling(backbone, options)
