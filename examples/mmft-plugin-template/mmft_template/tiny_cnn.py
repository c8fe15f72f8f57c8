"""A backbone: three convolutions for small pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from mmft_core.contracts import Backbone, BackboneContext, Features, Processor, Tensors
from mmft_core.errors import SampleError
from mmft_template.options import TinyCnnOptions


class Thumbnails(Processor):
    """Pictures to float tensors; mirrored at random in training."""

    suffixes = (".jpg", ".jpeg", ".png")
    augments = "pictures are mirrored at random"

    def __init__(self, size: int) -> None:
        self.size = size

    def prepare(self, raw: Image.Image, *, train: bool) -> Tensors:
        picture = raw.convert("RGB").resize((self.size, self.size))
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255
        if train and torch.rand(()) < 0.5:
            pixels = pixels.flip(-1)
        return {"pixels": pixels}

    def collate(self, items: Sequence[Tensors]) -> Tensors:
        return {"pixels": torch.stack([item["pixels"] for item in items])}

    def read(self, source: Path) -> Image.Image:
        try:
            picture = Image.open(source)
            picture.load()
        except (OSError, SyntaxError) as error:
            raise SampleError(str(source), f"cannot be decoded: {error}") from None
        return picture


class TinyCnn(Backbone):
    """conv, conv, conv; pooled features are the mean over the last map."""

    def __init__(self, options: TinyCnnOptions, context: BackboneContext) -> None:
        super().__init__()
        self.processor = Thumbnails(options.image_size)
        self.width = options.width
        widths = [3, 16, 32, options.width]
        self.blocks = nn.ModuleList(map(_block, widths, widths[1:]))
        # Nobody has published weights for it; a path given to --weights is loaded.
        self.loaded = context.weights.load(self, published=None)

    def encode(self, inputs: Tensors) -> Features:
        x: Tensor = inputs["pixels"] * 2 - 1
        for block in self.blocks:
            x = block(x)
        return Features(pooled=x.mean((2, 3)), sequence=x.flatten(2).transpose(1, 2))

    def layers(self) -> Sequence[nn.Module]:
        return list(self.blocks)


def _block(inside: int, outside: int) -> nn.Module:
    convolution = nn.Conv2d(inside, outside, 3, stride=2, padding=1)
    return nn.Sequential(convolution, nn.BatchNorm2d(outside), nn.GELU())
