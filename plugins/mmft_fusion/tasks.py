"""Fusion tasks: a class or a number from several modalities together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from mmft_classification.task import Classifier
from mmft_regression.task import Regressor
from torch import nn

from mmft_core.contracts import Backbone, Batch, Outputs, Task, TaskContext
from mmft_core.errors import ConfigError
from mmft_fusion.encoding import encode
from mmft_fusion.fusers import Fused, Fuser, build_fuser
from mmft_fusion.options import (
    FusionClassificationOptions,
    FusionOptions,
    FusionRegressionOptions,
)


class FusionClassification(Classifier):
    """A class from all modalities together."""

    def __init__(
        self,
        backbones: Mapping[str, Backbone],
        classes: tuple[str, ...],
        options: FusionClassificationOptions,
    ) -> None:
        super().__init__(classes, options.label_smoothing)
        self.backbones = nn.ModuleDict(backbones)
        self.fuser = build_fuser(backbones, len(classes), options)
        self.modality_dropout = options.modality_dropout

    def forward(self, batch: Batch) -> Outputs:
        fused = _fuse(self, self.fuser, batch, self.modality_dropout)
        return _with_weights(self.judged(fused.outputs, batch), fused)


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
        self.fuser = build_fuser(backbones, 1, options)
        self.modality_dropout = options.modality_dropout

    def forward(self, batch: Batch) -> Outputs:
        fused = _fuse(self, self.fuser, batch, self.modality_dropout)
        return _with_weights(self.judged(fused.outputs, batch), fused)


def _fuse(task: Task, fuser: Fuser, batch: Batch, dropout: float) -> Fused:
    encoded = encode(task, batch, dropout)
    # In full precision: in bf16 the probabilities of two classes are often the same number.
    device = next(iter(encoded.values())).present.device
    with torch.autocast(device.type, enabled=False):
        fused: Fused = fuser(encoded)
    return fused


def _with_weights(outputs: Outputs, fused: Fused) -> Outputs:
    return replace(
        outputs, figures={f"modality-weight/{m}": weight for m, weight in fused.weights.items()}
    )


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
    return FusionClassification(context.backbones, context.info.classes, options)


def build_regression(options: FusionRegressionOptions, context: TaskContext) -> FusionRegression:
    """Build `fusion-reg` on the backbones.

    Raises:
        ConfigError: the options do not go together.
    """
    _checked(options)
    return FusionRegression(context.backbones, context.info.target_scale, options)
