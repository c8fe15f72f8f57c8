"""What other plugins need to build networks for pictures. Options are in `mmft_vision.options`."""

from mmft_vision.augmentation_choice import may_be_mirrored
from mmft_vision.image_backbone import IMAGENET, ImageBackbone
from mmft_vision.pixel_range import PixelRange, fitted, with_range
from mmft_vision.processing import ImageProcessor, to_rgb
from mmft_vision.recomputed import count_once, recompute

__all__ = [
    "IMAGENET",
    "ImageBackbone",
    "ImageProcessor",
    "PixelRange",
    "count_once",
    "fitted",
    "may_be_mirrored",
    "recompute",
    "to_rgb",
    "with_range",
]
