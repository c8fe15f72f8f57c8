"""From a picture to pixels: decoding, augmentation, collation."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as T  # noqa: N812

from mmft_core.contracts import Extent, Preview, Processor, Tensors
from mmft_core.files import stamp
from mmft_vision.images import SUFFIXES, open_image
from mmft_vision.options import AugmentationOptions

SMALLEST_CROP = 0.5
"""Share of a picture's area that a random training crop keeps at least."""

_PREVIEW_SIDE = 160


class ImageProcessor(Processor):
    """Turns pictures into uint8 "pixels" (3, S, S).

    Bytes stay bytes until the batch is on the device, where the backbone normalises them: a
    quarter of the memory traffic between the processes. Other plugins' networks for pictures are
    welcome to it.
    """

    suffixes = SUFFIXES

    def __init__(
        self,
        size: int,
        options: AugmentationOptions,
        *,
        crop: float = 1.0,
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
    ) -> None:
        """Args:
        size: S.
        crop: share of the scaled picture's shorter side that is cut out of its centre.
        interpolation: by which pictures are scaled.
        """
        self.size, self.interpolation = size, interpolation
        self.scaled = max(size, math.floor(size / crop))
        self.augment = augmentation(size, options, interpolation)
        if self.augment is not None:
            self.augments = "pictures are cropped and coloured at random (backbone.augment)"

    def prepare(self, raw: Image.Image, *, train: bool) -> Tensors:
        # A JPEG decodes at 1/2, 1/4 or 1/8 of its size for a fraction of the work. The result is
        # never smaller than asked for, and crops are cut out before they are scaled.
        augmented = train and self.augment is not None
        side = math.ceil(self.size / math.sqrt(SMALLEST_CROP)) if augmented else self.scaled
        raw.draft("RGB", (side, side))
        image = to_rgb(raw)
        if augmented:
            return {"pixels": self.augment(T.pil_to_tensor(image))}
        return {"pixels": self._centred(T.pil_to_tensor(image))}

    def collate(self, items: Sequence[Tensors]) -> Tensors:
        """Stack to (B, 3, S, S), channels last in memory, as convolutions like it best."""
        pixels = torch.stack([item["pixels"] for item in items])
        return {"pixels": pixels.contiguous(memory_format=torch.channels_last)}

    def manifest(self) -> Mapping[str, Any]:
        return {
            "tensor": "pixels",
            "layout": "uint8, 0 to 255, RGB, (batch, 3, height, width)",
            "size": self.size,
            "resize": f"shorter side to {self.scaled}, {self.interpolation.value}, antialiased; "
            "then the centre is cut out",
            "transparency": "on white",
            "normalization": "within the graph",
        }

    def stamp(self, raw: Image.Image) -> bytes:
        """The file's, where it is one; else of its content, or of the pixels."""
        if getattr(raw, "filename", ""):
            return stamp(Path(raw.filename))
        if isinstance(getattr(raw, "fp", None), io.BytesIO):  # A table holds it.
            return hashlib.blake2b(raw.fp.getvalue()).digest()
        return f"{raw.mode} {raw.size} ".encode() + raw.tobytes()

    def read(self, source: Path) -> Image.Image:
        return open_image(source, str(source))

    def extent(self, raw: Image.Image) -> Extent:
        return Extent(raw.width * raw.height, "pixels")

    def preview(self, raw: Image.Image) -> Preview:
        """Give a small picture: lossless where the original is tiny."""
        image = to_rgb(raw)
        if max(image.size) <= _PREVIEW_SIDE // 4:
            scale = _PREVIEW_SIDE // max(image.size) // 2
            size = (image.width * scale, image.height * scale)
            image = image.resize(size, Image.Resampling.NEAREST)
            form = "PNG"
        else:
            image.thumbnail((_PREVIEW_SIDE, _PREVIEW_SIDE))
            form = "JPEG"
        buffer = io.BytesIO()
        image.save(buffer, form, quality=85, optimize=True)
        return Preview(f"image/{form.lower()}", buffer.getvalue())

    def _centred(self, pixels: Tensor) -> Tensor:
        """Scale the shorter side, and cut out the centre."""
        whole = T.resize(pixels, [self.scaled], self.interpolation, antialias=True)
        return T.center_crop(whole, [self.size, self.size])


def to_rgb(image: Image.Image) -> Image.Image:
    """Decode to RGB, upright, 16-bit greyscale scaled to 8 bits, transparency on white."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        array = torch.frombuffer(bytearray(image.convert("I").tobytes()), dtype=torch.int32)
        bytes_ = (array.clamp(0, 65535) // 256).to(torch.uint8).numpy().tobytes()
        image = Image.frombytes("L", image.size, bytes_)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def augmentation(
    size: int, options: AugmentationOptions, interpolation: InterpolationMode
) -> v2.Compose | None:
    """The random changes of training pictures, or None for none."""
    if options.augment == "none":
        return None
    steps: list[torch.nn.Module] = [
        v2.RandomResizedCrop(
            size, scale=(SMALLEST_CROP, 1.0), interpolation=interpolation, antialias=True
        )
    ]
    if options.flip:
        steps.append(v2.RandomHorizontalFlip())
    if options.augment == "randaugment":
        steps.append(v2.RandAugment(interpolation=InterpolationMode.BILINEAR))
    else:
        steps.append(v2.ColorJitter(brightness=0.2, contrast=0.2))
    return v2.Compose(steps)
