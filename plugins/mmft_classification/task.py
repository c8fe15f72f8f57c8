"""Classification: what all such tasks share, and a linear head on features of one modality."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from mmft_classification.options import ClassificationOptions
from mmft_core.contracts import (
    Backbone,
    Batch,
    Outputs,
    Split,
    TargetCodec,
    Task,
    TaskContext,
)
from mmft_core.errors import did_you_mean
from mmft_datasets.names import Lookup


class ClassCodec(TargetCodec):
    """Class names to indices and back."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self._place = Lookup(self.classes)

    def encode(self, target: Any) -> int:
        place = self._place(target)
        if place is None:
            near = did_you_mean(str(target), self.classes)
            raise ValueError(f"its class {target!r} is not one of the model's.{near}".rstrip("."))
        return place

    def inspect(self, target: Any) -> str | None:
        name = self.classes[self.encode(target)]
        return None if name == target else f"class {target!r} taken for the model's {name!r}"

    def collate(self, targets: Sequence[int]) -> Tensor:
        return torch.tensor(targets, dtype=torch.int64)


class Classifier(Task):
    """One class for each sample, however it is found.

    Predictions are probabilities (B, C).
    """

    codec: ClassCodec
    class_weights: Tensor | None

    def __init__(
        self,
        classes: Sequence[str],
        label_smoothing: float = 0.0,
        *,
        class_weights: Literal["none", "auto"] = "none",
        train: Split | None = None,
    ) -> None:
        """Args:
        class_weights: see `balanced_weights` for "auto"; they are a buffer, so they are saved.
        train: the training split, by which classes are weighed; None on reloading.
        """
        super().__init__()
        self.codec = ClassCodec(classes)
        self.label_smoothing = label_smoothing
        weighed = class_weights == "auto"
        self.register_buffer(
            "class_weights", balanced_weights(train, self.codec) if weighed else None
        )

    def outputs_for(self, logits: Tensor, batch: Batch) -> Outputs:
        """Loss and probabilities of logits (B, C), which are float32."""
        loss = None
        if batch.targets is not None:
            smoothing = self.label_smoothing if self.training else 0.0
            loss = self._loss(logits, batch.targets, smoothing)
        return Outputs(loss, None if self.training else logits.softmax(-1))

    def _loss(self, logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        if self.class_weights is None:
            return F.cross_entropy(logits, targets, label_smoothing=smoothing)
        # The mean over samples, not over weights, so that it does not depend on who shares a batch.
        total = F.cross_entropy(
            logits, targets, self.class_weights, label_smoothing=smoothing, reduction="sum"
        )
        return total / len(logits)

    def decode(self, predictions: Tensor, top_k: int = 1) -> list[dict[str, Any]]:
        """Give each sample {"label", "probability", "top": the `top_k` most probable}."""
        top = predictions.float().topk(min(top_k, predictions.shape[-1]))
        records = []
        for values, indices in zip(top.values.tolist(), top.indices.tolist(), strict=True):
            ranked = [
                {"label": self.codec.classes[i], "probability": round(p, 6)}
                for p, i in zip(values, indices, strict=True)
            ]
            records.append({**ranked[0], "top": ranked})
        return records

    def rank(self, predictions: Tensor, targets: Tensor) -> dict[str, Tensor]:
        confidence, label = predictions.max(-1)
        right = label == targets
        true = predictions.gather(-1, targets[:, None]).squeeze(-1)
        return {
            "Most wrong": (1 - true).masked_fill(right, -math.inf),
            "Most confident": confidence.masked_fill(~right, -math.inf),
        }


class Classification(Classifier):
    """A linear head on the pooled features of one modality."""

    reads = ("pooled",)

    def __init__(
        self,
        modality: str,
        backbone: Backbone,
        classes: Sequence[str],
        *,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        class_weights: Literal["none", "auto"] = "none",
        train: Split | None = None,
    ) -> None:
        super().__init__(classes, label_smoothing, class_weights=class_weights, train=train)
        self.modality = modality
        self.backbones = nn.ModuleDict({modality: backbone})
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(backbone.width, len(self.codec.classes))

    def forward(self, batch: Batch) -> Outputs:
        features = self.backbone(self.modality)(batch.inputs[self.modality])
        # In full precision: in bf16 the probabilities of two classes are often the same number.
        with torch.autocast(features.pooled.device.type, enabled=False):
            logits = self.head(self.dropout(features.pooled.float()))
        return self.outputs_for(logits, batch)


def build(options: ClassificationOptions, context: TaskContext) -> Classification:
    """Build the task on the only backbone, whatever its modality."""
    (modality,) = context.backbones
    return Classification(
        modality,
        context.backbones[modality],
        context.info.classes,
        dropout=options.dropout,
        label_smoothing=options.label_smoothing,
        class_weights=options.class_weights,
        train=context.train,
    )


def balanced_weights(train: Split | None, codec: ClassCodec) -> Tensor:
    """Weights n / (C * n_c) of C classes with n_c of n samples, by which each class counts the same
    (King and Zeng, 2001); scikit-learn's "balanced".

    Args:
        train: None on reloading, where the weights come with the model.

    Returns:
        (C,); 1 for classes without samples.
    """
    weights = torch.ones(len(codec.classes))
    if train is None:
        return weights
    counts = [0] * len(codec.classes)
    for index in range(len(train)):
        counts[codec.encode(train.target(index))] += 1
    found = [len(train) / (len(counts) * n) if n else 1.0 for n in counts]
    return weights.copy_(torch.tensor(found))
