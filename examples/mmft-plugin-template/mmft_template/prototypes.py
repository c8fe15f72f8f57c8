"""A task: each class is a point in the space of features, and the nearest one wins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmft_core.contracts import Batch, Outputs, TargetCodec, Task, TaskContext
from mmft_template.options import PrototypeOptions


class ClassCodec(TargetCodec):
    """Class names to indices."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)

    def encode(self, target: str) -> int:
        return self.classes.index(target)  # A ValueError for a class that is not known.

    def collate(self, targets: Sequence[int]) -> Tensor:
        return torch.tensor(targets)


class PrototypeClassification(Task):
    """Predictions are probabilities (B, C), as the metrics of classification read them."""

    def __init__(self, options: PrototypeOptions, context: TaskContext) -> None:
        super().__init__()
        self.backbones = nn.ModuleDict(dict(context.backbones))
        self.codec: ClassCodec = ClassCodec(context.info.classes)
        self.temperature = options.temperature
        width = self.backbone("image").width
        self.prototypes = nn.Parameter(torch.randn(len(self.codec.classes), width))

    def forward(self, batch: Batch) -> Outputs:
        features = self.backbone("image")(batch.inputs["image"]).pooled
        directions = functional.normalize(self.prototypes, dim=-1)
        similarities = functional.normalize(features, dim=-1) @ directions.T
        logits = similarities.float() / self.temperature
        loss = None
        if batch.targets is not None:
            loss = functional.cross_entropy(logits, batch.targets)
        return Outputs(loss, None if self.training else logits.softmax(-1))

    def decode(self, predictions: Tensor, top_k: int = 1) -> list[dict[str, Any]]:
        records = []
        for row in predictions.float():
            best = row.topk(min(top_k, len(row)))
            top = [
                {"label": self.codec.classes[i], "probability": round(p, 6)}
                for p, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)
            ]
            records.append({**top[0], "top": top})
        return records

    def rank(self, predictions: Tensor, targets: Tensor) -> dict[str, Tensor]:
        true = predictions.gather(-1, targets[:, None]).squeeze(-1)
        wrong = predictions.argmax(-1) != targets
        return {"Most wrong": torch.where(wrong, 1 - true, -torch.inf)}
