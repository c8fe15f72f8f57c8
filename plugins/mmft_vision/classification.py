"""Image classification: the classification task, with MixUp and CutMix in training."""

from __future__ import annotations

import dataclasses

import torch
from torchvision.transforms import v2

from mmft_classification.task import Classification
from mmft_core.contracts import Batch, Outputs, TaskContext
from mmft_vision.options import ImageClassificationOptions


class ImageClassification(Classification):
    """Classification of images whose processor collates them as "pixels" (B, 3, H, W)."""

    def add_mixing(self, options: ImageClassificationOptions) -> None:
        """Mix training batches; where MixUp and CutMix are both on, one is drawn for each batch."""
        classes = len(self.codec.classes)
        self.mixings: list[torch.nn.Module] = []
        if options.mixup:
            self.mixings.append(v2.MixUp(alpha=options.mixup, num_classes=classes))
        if options.cutmix:
            self.mixings.append(v2.CutMix(alpha=options.cutmix, num_classes=classes))
        if self.mixings:
            self.augments = "pictures of a batch are mixed (task.mixup, task.cutmix)"

    def forward(self, batch: Batch) -> Outputs:
        if self.training and self.mixings and batch.targets is not None:
            batch = self._mixed(batch)
        return super().forward(batch)

    def _mixed(self, batch: Batch) -> Batch:
        chosen = self.mixings[int(torch.randint(len(self.mixings), ()))]
        inputs = batch.inputs[self.modality]
        pixels, targets = chosen(inputs["pixels"].float(), batch.targets)
        mixed = {**batch.inputs, self.modality: {**inputs, "pixels": pixels}}
        return dataclasses.replace(batch, inputs=mixed, targets=targets)


def build(options: ImageClassificationOptions, context: TaskContext) -> ImageClassification:
    """Build the task on the image backbone."""
    task = ImageClassification(
        "image",
        context.backbones["image"],
        context.info.classes,
        dropout=options.dropout,
        label_smoothing=options.label_smoothing,
        class_weights=options.class_weights,
        train=context.train,
    )
    task.add_mixing(options)
    return task
