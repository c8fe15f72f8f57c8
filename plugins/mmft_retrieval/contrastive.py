"""Two modalities in one space: what belongs together lies close together.

CLIP's dual encoder (Radford et al., 2021), for any two modalities.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from mmft_core.contracts import (
    Backbone,
    Batch,
    Gallery,
    Graph,
    GraphPart,
    Outputs,
    Processor,
    Runner,
    Task,
    TaskContext,
    Tensors,
    flatten_tensors,
    input_axes,
)
from mmft_retrieval.losses import symmetric_info_nce
from mmft_retrieval.neighbours import Neighbours
from mmft_retrieval.options import ContrastiveOptions
from mmft_retrieval.task import DIGITS, GroupCodec

_LARGEST_SCALE = 100.0


class Contrastive(Task):
    """Pairs are to find each other among those of the batch, both ways.

    Predictions are embeddings of length one (B, D) by modality, of those that the batch has.
    """

    codec: GroupCodec
    compares = True
    minimum_batch_size = 2
    reads = ("pooled",)

    def __init__(self, backbones: Mapping[str, Backbone], dim: int, temperature: float) -> None:
        super().__init__()
        self.backbones = nn.ModuleDict(backbones)
        self.projections = nn.ModuleDict(
            {m: nn.Linear(b.width, dim, bias=False) for m, b in backbones.items()}
        )
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / temperature)))
        self.codec = GroupCodec(())
        self._processors = {m: b.processor for m, b in backbones.items()}
        self._runners: Mapping[str, Runner] = {}  # Of an export, in place of backbones and heads.

    @property
    def processors(self) -> dict[str, Processor]:
        return self._processors

    def forward(self, batch: Batch) -> Outputs:
        embeddings = {m: self._embed(m, inputs) for m, inputs in batch.inputs.items()}
        loss = None
        if batch.targets is not None and len(embeddings) == 2 and not self._runners:
            first, second = embeddings.values()
            scale = self.log_scale.exp().clamp(max=_LARGEST_SCALE)
            loss = symmetric_info_nce(first, second, batch.targets["group"], 1 / scale)
        return Outputs(loss, None if self.training else embeddings)

    def _embed(self, modality: str, inputs: Tensors) -> Tensor:
        if modality in self._runners:
            return self._runners[modality](flatten_tensors({modality: inputs}))["embeddings"]
        features = self.backbone(modality)(inputs).pooled
        # In full precision: in bf16 the nearest neighbours are often equally near.
        with torch.autocast(features.device.type, enabled=False):
            return F.normalize(self.projections[modality](features.float()), dim=-1)

    def graphs(self, batch: Batch) -> Sequence[Graph]:
        """One for each modality, for either may be embedded alone."""
        return [self._graph(modality, inputs) for modality, inputs in batch.inputs.items()]

    def _graph(self, modality: str, inputs: Tensors) -> Graph:
        own = {modality: inputs}
        part = GraphPart(self, lambda given: {"embeddings": self._embed(modality, given[modality])})
        axes = input_axes(self.processors, own)
        return Graph(name=modality, module=part, inputs=flatten_tensors(own), axes=axes)

    def adopt(self, runners: Mapping[str, Runner]) -> Task:
        self._runners = dict(runners)
        self.backbones, self.projections = nn.ModuleDict(), nn.ModuleDict()
        return self

    def decode(self, predictions: Tensors, top_k: int = 1) -> list[dict[str, Any]]:
        """Give each sample {"embedding": D numbers by modality, "similarity": of its two, if it has
        both}."""
        rows = {m: e.double().tolist() for m, e in predictions.items()}
        found: list[dict[str, Any]] = [
            {"embedding": {m: [round(x, DIGITS) for x in own[k]] for m, own in rows.items()}}
            for k in range(len(next(iter(rows.values()))))
        ]
        if len(predictions) == 2:
            first, second = predictions.values()
            alike = (first.double() * second.double()).sum(-1).tolist()
            for record, similarity in zip(found, alike, strict=True):
                record["similarity"] = round(similarity, DIGITS)
        return found

    def gallery(self, size: int) -> Gallery:
        # An example and its neighbours take the room of several.
        return _Crossed(max(1, size // 2))


class _Crossed(Neighbours):
    """What is found of the first modality for queries of the second."""

    def update(self, batch: Batch, predictions: Any, targets: Any) -> None:
        items, queries = predictions.values()
        super().update(batch, items, {"group": targets["group"], "query": queries})


def build(options: ContrastiveOptions, context: TaskContext) -> Contrastive:
    """Build the task on two backbones."""
    return Contrastive(context.backbones, options.dim, options.temperature)
