"""Multi-label classification: any number of labels for each sample, whatever the modality."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from mmft_classification.options import LabelLossOptions, MultiLabelOptions
from mmft_core.contracts import Batch, Outputs, Split, TargetCodec, Task, TaskContext
from mmft_core.errors import did_you_mean
from mmft_datasets.names import Lookup

_LARGEST_WEIGHT = 100.0
"""Of positives: a label with a single one in many samples would drown all others."""


class LabelCodec(TargetCodec):
    """Sets of label names to vectors of 0 and 1, and back."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self._place = Lookup(self.labels)

    def encode(self, target: Sequence[str]) -> list[int]:
        return sorted({self._index(name) for name in target})

    def inspect(self, target: Sequence[str]) -> str | None:
        for name in target:
            known = self.labels[self._index(name)]
            if known != name:
                return f"label {name!r} taken for the model's {known!r}"
        return None

    def collate(self, targets: Sequence[Sequence[int]]) -> Tensor:
        """Give (B, L) float32, 1 where the sample has the label."""
        batch = torch.zeros(len(targets), len(self.labels))
        for row, indices in zip(batch, targets, strict=True):
            row[list(indices)] = 1.0
        return batch

    def _index(self, name: str) -> int:
        place = self._place(name)
        if place is None:
            near = did_you_mean(str(name), self.labels)
            raise ValueError(f"its label {name!r} is not one of the model's.{near}".rstrip("."))
        return place


class MultiLabeller(Task):
    """Any number of L labels for each sample, whatever computes their logits.

    Predictions are {"probabilities": (B, L), "thresholds": (B, L), the same in every row}; a sample
    has the labels whose probability is above their threshold.
    """

    codec: LabelCodec
    thresholds: Tensor
    positive_weights: Tensor

    def __init__(self, options: LabelLossOptions, context: TaskContext) -> None:
        super().__init__()
        self.options = options
        self.codec = LabelCodec(context.info.classes)
        self.register_buffer("thresholds", torch.full((len(self.codec.labels),), 0.5))
        if options.class_weights == "auto":
            weights = positive_weights(context.train, self.codec)
            self.register_buffer("positive_weights", weights)

    def outputs_for(self, logits: Tensor, batch: Batch) -> Outputs:
        """Loss and probabilities of logits (B, L), which are float32."""
        loss = None if batch.targets is None else self.loss(logits, batch.targets)
        if self.training:
            return Outputs(loss)
        thresholds = self.thresholds.expand_as(logits)
        return Outputs(loss, {"probabilities": logits.sigmoid(), "thresholds": thresholds})

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean over samples and labels of the chosen loss; logits and targets are (B, L)."""
        options = self.options
        if options.loss == "focal":
            losses = focal(logits, targets, 2.0 if options.gamma is None else options.gamma)
        elif options.loss == "asymmetric":
            gamma = 4.0 if options.gamma is None else options.gamma
            losses = asymmetric(logits, targets, gamma, options.margin)
        else:
            losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        if options.class_weights == "auto":
            losses = losses * torch.where(targets > 0, self.positive_weights, 1.0)
        return losses.mean()

    def calibrate(self, predictions: Mapping[str, Tensor], targets: Tensor) -> None:
        """Choose each label's threshold by the validation split; see `best_threshold`."""
        columns = zip(predictions["probabilities"].T, targets.T, strict=True)
        chosen = [best_threshold(own, true > 0) for own, true in columns]
        self.thresholds.copy_(torch.tensor(chosen))

    def decode(self, predictions: Mapping[str, Tensor], top_k: int = 1) -> list[dict[str, Any]]:
        """Give each sample {"labels": the names that it has, "top": [{"label", "probability",
        "threshold"}, ...]}, the most probable first.

        "top" holds all labels that it has, and at least the `top_k` most probable.
        """
        records = []
        probabilities, thresholds = predictions["probabilities"], predictions["thresholds"]
        for own, limits in zip(probabilities.float(), thresholds.float(), strict=True):
            order = own.argsort(descending=True, stable=True).tolist()
            has = (own > limits).tolist()
            top = [i for rank, i in enumerate(order) if has[i] or rank < top_k]
            records.append(
                {
                    "labels": [self.codec.labels[i] for i in order if has[i]],
                    "top": [
                        {
                            "label": self.codec.labels[i],
                            "probability": round(float(own[i]), 6),
                            "threshold": round(float(limits[i]), 6),
                        }
                        for i in top
                    ],
                }
            )
        return records

    def rank(self, predictions: Mapping[str, Tensor], targets: Tensor) -> dict[str, Tensor]:
        probabilities = predictions["probabilities"]
        wrong = ((probabilities > predictions["thresholds"]) != (targets > 0)).any(-1)
        losses = F.binary_cross_entropy(probabilities, targets, reduction="none").mean(-1)
        return {"Most wrong": losses.masked_fill(~wrong, -math.inf)}


class MultiLabel(MultiLabeller):
    """A linear head on the pooled features of one modality."""

    reads = ("pooled",)

    def __init__(self, modality: str, options: MultiLabelOptions, context: TaskContext) -> None:
        super().__init__(options, context)
        backbone = context.backbones[modality]
        self.modality = modality
        self.backbones = nn.ModuleDict({modality: backbone})
        self.dropout = nn.Dropout(options.dropout)
        self.head = nn.Linear(backbone.width, len(self.codec.labels))

    def forward(self, batch: Batch) -> Outputs:
        features = self.backbone(self.modality)(batch.inputs[self.modality])
        # In full precision: in bf16 many probabilities are the same number.
        with torch.autocast(features.pooled.device.type, enabled=False):
            logits = self.head(self.dropout(features.pooled.float()))
            return self.outputs_for(logits, batch)


def build(options: MultiLabelOptions, context: TaskContext) -> MultiLabel:
    """Build the task on the only backbone, whatever its modality."""
    (modality,) = context.backbones
    return MultiLabel(modality, options, context)


def focal(logits: Tensor, targets: Tensor, gamma: float) -> Tensor:
    """The focal loss (Lin et al., 2017, "Focal Loss for Dense Object Detection"), equation 4.

    Args:
        logits: (B, L).
        targets: (B, L) of 0 and 1.
        gamma: 0 for the binary cross-entropy.

    Returns:
        (B, L).
    """
    losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    wrong = torch.where(targets > 0, -logits, logits).sigmoid()
    return losses * wrong**gamma


def asymmetric(logits: Tensor, targets: Tensor, gamma: float, margin: float) -> Tensor:
    """The asymmetric loss (Ridnik et al., 2021, "Asymmetric Loss For Multi-Label Classification"),
    equation 7 with no focusing of positives, as the authors use it.

    Args:
        logits: (B, L).
        targets: (B, L) of 0 and 1.
        gamma: focusing of negatives.
        margin: is taken from the probabilities of negatives.

    Returns:
        (B, L).
    """
    positives = F.logsigmoid(logits)
    shifted = (logits.sigmoid() - margin).clamp(min=0)
    # log(1 - shifted): where nothing is shifted, in the form that is stable for large logits.
    log = F.logsigmoid(-logits) if margin == 0 else torch.log1p(-shifted)
    return -torch.where(targets > 0, positives, shifted**gamma * log)


def best_threshold(probabilities: Tensor, positive: Tensor) -> float:
    """The threshold with the highest F1, in the middle between the probabilities beside it.

    Of several that are as good it is the middle one.

    Args:
        probabilities: (N,).
        positive: (N,) bool.

    Returns:
        0.5 where there are no positives.
    """
    if not positive.any():
        return 0.5
    values, order = probabilities.double().sort(descending=True)
    hits = positive[order].double().cumsum(0)
    taken = torch.arange(1, len(values) + 1, dtype=torch.float64)
    f1 = 2 * hits / (taken + hits[-1])
    below = torch.cat([values[1:], values.new_zeros(1)])
    f1[values == below] = -1  # Equal probabilities cannot be told apart.
    best = (f1 == f1.max()).nonzero().flatten()
    place = best[(len(best) - 1) // 2]
    low, high = float(below[place]), float(values[place])
    middle = torch.tensor((low + high) / 2, dtype=torch.float32)
    # Rounded to the higher of two neighbouring numbers, it would shut that out.
    return float(middle) if float(middle) < high else low


def positive_weights(train: Split | None, codec: LabelCodec) -> Tensor:
    """By label the number of samples without it for each that has it, 100 at most.

    Args:
        train: None on reloading, where the weights come with the model.

    Returns:
        (L,); 1 for labels without positives.
    """
    weights = torch.ones(len(codec.labels))
    if train is None:
        return weights
    counts = [0] * len(codec.labels)
    for index in range(len(train)):
        for label in codec.encode(train.target(index)):
            counts[label] += 1
    found = [min((len(train) - n) / n, _LARGEST_WEIGHT) if n else 1.0 for n in counts]
    return weights.copy_(torch.tensor(found))
