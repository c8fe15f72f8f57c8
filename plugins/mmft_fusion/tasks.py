"""Fusion tasks: a class, any number of labels, or a number from several modalities together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

import torch
from torch import Tensor, nn

from mmft_classification.multilabel import MultiLabeller
from mmft_classification.task import Classifier
from mmft_core.contracts import Backbone, Batch, Outputs, Split, TaskContext
from mmft_core.distributed import comm
from mmft_core.errors import ConfigError
from mmft_fusion.encoding import Encoded, encode
from mmft_fusion.fusers import Fused, build_fuser
from mmft_fusion.options import (
    FusionClassificationOptions,
    FusionMultiLabelOptions,
    FusionOptions,
    FusionRegressionOptions,
)
from mmft_regression.task import Regressor

Predictor: TypeAlias = Classifier | MultiLabeller | Regressor
"""What is predicted from the fused outputs, with a loss of its own."""


class Fusion(nn.Module):
    """Fuses what a task's backbones yield; in training, each of them also has a loss of its own.

    Modalities that are learned together compete: one that is learned fast leaves the others little
    to learn (Wang, Tran and Feiszli, 2019, "What Makes Training Multi-Modal Networks Hard?"). The
    losses of their own keep them learning.
    """

    def __init__(
        self, backbones: Mapping[str, Backbone], outputs: int, options: FusionOptions
    ) -> None:
        super().__init__()
        self.fuser = build_fuser(backbones, outputs, options)
        self.dropout, self.weight = options.modality_dropout, options.alone
        self.alone = nn.ModuleDict()
        if options.alone and options.fusion != "late" and len(backbones) > 1:
            self.alone.update({m: nn.Linear(b.width, outputs) for m, b in backbones.items()})

    def outputs_for(self, task: Predictor, batch: Batch) -> Outputs:
        """The task's loss and predictions of all modalities together."""
        encoded = encode(task, batch, self.dropout)
        # In full precision: in bf16 the probabilities of two classes are often the same number.
        device = next(iter(encoded.values())).present.device
        with torch.autocast(device.type, enabled=False):
            fused: Fused = self.fuser(encoded)
            outputs = task.outputs_for(fused.outputs, batch)
            if task.training and outputs.loss is not None and self.alone:
                losses = self._losses_alone(task, encoded, batch)
                outputs = replace(outputs, loss=outputs.loss + self.weight * losses)
        weights = {f"modality-weight/{m}": weight for m, weight in fused.weights.items()}
        return replace(outputs, scalars=weights)

    def _losses_alone(
        self, task: Predictor, encoded: Mapping[str, Encoded], batch: Batch
    ) -> Tensor:
        """The mean of the modalities' own losses, each over the samples that have it."""
        losses = []
        counts = [int(one.present.sum()) for one in encoded.values()]
        shares = comm.shares_of_means(counts, len(batch))
        for (modality, one), share in zip(encoded.items(), shares, strict=True):
            outputs = self.alone[modality](one.pooled.float())
            own = replace(batch, targets=batch.targets[one.present])
            loss = task.outputs_for(outputs[one.present], own).loss
            assert loss is not None
            # The mean over no samples is NaN; the head has to stay in the graph.
            losses.append(share * loss if one.present.any() else 0.0 * outputs.sum())
        return torch.stack(losses).mean()


class FusionClassification(Classifier):
    """A class from all modalities together."""

    def __init__(
        self,
        backbones: Mapping[str, Backbone],
        classes: tuple[str, ...],
        options: FusionClassificationOptions,
        train: Split | None = None,
    ) -> None:
        super().__init__(
            classes, options.label_smoothing, class_weights=options.class_weights, train=train
        )
        self.backbones = nn.ModuleDict(backbones)
        self.reads = _reads(options)
        self.fusion = Fusion(backbones, len(classes), options)

    def forward(self, batch: Batch) -> Outputs:
        return self.fusion.outputs_for(self, batch)


class FusionMultiLabel(MultiLabeller):
    """Any number of labels from all modalities together."""

    def __init__(self, options: FusionMultiLabelOptions, context: TaskContext) -> None:
        super().__init__(options, context)
        self.backbones = nn.ModuleDict(context.backbones)
        self.reads = _reads(options)
        self.fusion = Fusion(context.backbones, len(self.codec.labels), options)

    def forward(self, batch: Batch) -> Outputs:
        return self.fusion.outputs_for(self, batch)


class FusionRegression(Regressor):
    """A number from all modalities together."""

    def __init__(
        self,
        backbones: Mapping[str, Backbone],
        scale: tuple[float, float] | None,
        options: FusionRegressionOptions,
    ) -> None:
        super().__init__(scale, options.huber)
        self.backbones = nn.ModuleDict(backbones)
        self.reads = _reads(options)
        self.fusion = Fusion(backbones, 1, options)

    def forward(self, batch: Batch) -> Outputs:
        return self.fusion.outputs_for(self, batch)


def _reads(options: FusionOptions) -> tuple[str, ...]:
    """The features that the chosen fusion reads."""
    return ("pooled", "sequence") if options.fusion == "cross-attention" else ("pooled",)


def _checked(options: FusionOptions) -> None:
    if options.fusion == "cross-attention" and options.width % options.heads:
        raise ConfigError(
            f"task.heads = {options.heads} does not divide task.width = {options.width}.",
            hint="Give a number of heads that does.",
        )


def build_classification(
    options: FusionClassificationOptions, context: TaskContext
) -> FusionClassification:
    """Build `fusion-cls` on the backbones.

    Raises:
        ConfigError: the options do not go together.
    """
    _checked(options)
    return FusionClassification(context.backbones, context.info.classes, options, context.train)


def build_multilabel(options: FusionMultiLabelOptions, context: TaskContext) -> FusionMultiLabel:
    """Build `fusion-multilabel` on the backbones.

    Raises:
        ConfigError: the options do not go together.
    """
    _checked(options)
    return FusionMultiLabel(options, context)


def build_regression(options: FusionRegressionOptions, context: TaskContext) -> FusionRegression:
    """Build `fusion-reg` on the backbones.

    Raises:
        ConfigError: the options do not go together.
    """
    _checked(options)
    return FusionRegression(context.backbones, context.info.target_scale, options)
