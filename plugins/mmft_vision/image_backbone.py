"""Any network for pictures as a backbone."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode

from mmft_core.contracts import BackboneContext, Features, ModuleBackbone, Tensors, as_features
from mmft_core.weights import LoadedWeights
from mmft_vision.augmentation_choice import chosen
from mmft_vision.options import ImageBackboneOptions, ImageOptions
from mmft_vision.pixel_range import fitted, with_range
from mmft_vision.processing import ImageProcessor

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's pixels, from 0 to 1, for each colour."""


class ImageBackbone(ModuleBackbone):
    """Decoding, augmentation, normalization and pooling around a network.

    `processor` is an `ImageProcessor`, so pictures of any format and depth are read, shown and
    checked as for built-in networks.
    """

    processor: ImageProcessor
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        body: nn.Module,
        options: ImageOptions,
        context: BackboneContext,
        *,
        size: int | None = None,
        width: int | None = None,
        colours: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET,
        crop: float = 1.0,
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        loaded: LoadedWeights | None = None,
    ) -> None:
        """Args:
        body: takes normalized pixels (B, 3, S, S) and returns a map (B, D, H, W), a sequence
            (B, T, D), pooled features (B, D), or `Features`.
        options: the processor's options.
        size: S; by default `ImageBackboneOptions.image_size`.
        width: D; by default it is found by encoding a black picture.
        colours: mean and standard deviation of the three colours, by which pixels from 0 to 1
            are normalized.
        crop, interpolation: see `ImageProcessor`.
        loaded: what `context.weights.load(body, published=...)` returned. By default there are no
            published weights, and those that the user names are loaded.
        """
        super().__init__(body.to(memory_format=torch.channels_last))
        if size is None:
            assert isinstance(options, ImageBackboneOptions)
            size = options.image_size
        for name, values in zip(("mean", "std"), colours, strict=True):
            scaled = 255 * torch.tensor(values).view(3, 1, 1)
            self.register_buffer(name, scaled, persistent=False)
        self.width = self.measured_width(torch.zeros(1, 3, size, size)) if width is None else width
        self.loaded = loaded or context.weights.load(self.body, published=None)
        pixel_range = fitted(options.pixel_range, context)
        options = chosen(options, context, self.loaded)
        self.fitted_options = with_range(options, pixel_range) or options
        self.processor = ImageProcessor(
            size, options, crop=crop, interpolation=interpolation, pixel_range=pixel_range
        )

    def encode(self, inputs: Tensors) -> Features:
        """Encode {"pixels": (B, 3, S, S), 0 to 255}."""
        return as_features(self.body(self.normalized(inputs)))

    def normalized(self, inputs: Tensors) -> Tensor:
        """The pixels (B, 3, S, S) as the network takes them."""
        return (inputs["pixels"] - self.mean) / self.std
