"""What every detector is to the task: a backbone that computes losses and boxes itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as T  # noqa: N812

from mmft_core.contracts import Backbone, Tensors
from mmft_vision.options import AugmentationOptions
from mmft_vision.pixel_range import PixelRange
from mmft_vision.processing import ImageProcessor, to_rgb

PADDING = (124, 116, 104)
"""The mean colour of ImageNet, which normalization makes zero."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a detector yields for a batch.

    Attributes:
        loss: scalar, in training and wherever targets are given; else None.
        boxes: (B, K, 4) left, top, right and bottom edges in pixels of the prepared picture, the
            highest scores first; None in training.
        scores: (B, K) 0 to 1; 0 for the rows behind the last object.
        labels: (B, K) int64, class indices.
    """

    loss: Tensor | None
    boxes: Tensor | None = None
    scores: Tensor | None = None
    labels: Tensor | None = None


class DetectionProcessor(ImageProcessor):
    """Scales a picture into a square and tells by how much.

    Args:
        size: S, the side of the square.
        stretch: whether the picture fills the square; else it keeps its shape, lies in the upper
            left corner, and the rest is padded.
    """

    def __init__(self, size: int, *, stretch: bool, pixel_range: PixelRange | None) -> None:
        options = AugmentationOptions(augment="none", flip=False)
        super().__init__(size, options, pixel_range=pixel_range)
        self.stretch = stretch

    def prepare(self, raw: Image.Image, *, train: bool) -> Tensors:
        """Give "pixels" (3, S, S) uint8, "scale" (2,), by which x and y were multiplied, and
        "extent" (2,), the width and height in the square."""
        image = to_rgb(raw, self.pixel_range)
        width = height = self.size
        if not self.stretch:
            scale = self.size / max(image.size)
            width, height = (max(1, round(side * scale)) for side in image.size)
        pixels = T.resize(T.pil_to_tensor(image), [height, width], antialias=True)
        square = torch.tensor(PADDING, dtype=torch.uint8).view(3, 1, 1)
        square = square.repeat(1, self.size, self.size)
        square[:, :height, :width] = pixels
        return {
            "pixels": square,
            "scale": torch.tensor([width / image.width, height / image.height]),
            "extent": torch.tensor([float(width), float(height)]),
        }

    def collate(self, items: Sequence[Tensors]) -> Tensors:
        """Stack to "pixels" (B, 3, S, S), "scale" (B, 2) and "extent" (B, 2)."""
        stacked = {name: torch.stack([item[name] for item in items]) for name in items[0]}
        stacked["pixels"] = stacked["pixels"].contiguous(memory_format=torch.channels_last)
        return stacked

    def manifest(self) -> Mapping[str, Any]:
        how = (
            "width and height each to the size"
            if self.stretch
            else f"longer side to the size; the rest on the right and below is {list(PADDING)}"
        )
        return {
            **super().manifest(),
            "resize": f"{how}, {self.interpolation.value}, antialiased",
            "scale": "(batch, 2): prepared by original width, and height",
            "extent": "(batch, 2): width and height of the picture in the square",
        }


class Detector(Backbone):
    """A backbone that finds boxes: it provides "detection".

    Attributes:
        no_graph: why no graph computes what it does, in words that follow "cannot be exported:";
            "" if one does.
    """

    no_graph: str = ""

    @abstractmethod
    def detect(self, inputs: Tensors, targets: Sequence[Tensors] | None) -> Found:
        """Find boxes in what `DetectionProcessor.collate` gave.

        Args:
            targets: for each picture "boxes" (N, 4), edges in pixels of the prepared picture, and
                "labels" (N,) int64. N may be 0.
        """
