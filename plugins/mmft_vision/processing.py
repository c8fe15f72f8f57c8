"""From a picture to pixels: decoding, augmentation, collation."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as T  # noqa: N812

from mmft_core.contracts import Extent, Preview, Processor, Tensors
from mmft_core.data import warnings_as_remarks
from mmft_core.loading import UNDECODABLE
from mmft_core.utils import stamp
from mmft_vision.deep import Values, decode, is_deep, is_no_data, values
from mmft_vision.formats import SUFFIXES, is_image
from mmft_vision.images import open_image
from mmft_vision.options import AugmentationOptions
from mmft_vision.pixel_range import PixelRange, by_type, colours

SMALLEST_CROP = 0.5
"""The smallest share of a picture's area that a random training crop keeps."""

_PREVIEW_SIDE = 160

_FLAT = 4
"""A picture is nearly flat if 98% of its pixels lie within this many of 256 grey levels."""


class ImageProcessor(Processor):
    """Turns pictures into uint8 "pixels" (3, S, S).

    Bytes stay bytes until the batch is on the device, where the backbone normalises them: a
    quarter of the memory traffic between the processes. Other plugins' networks may use it, too.
    """

    suffixes = SUFFIXES
    inspects = True

    def __init__(
        self,
        size: int,
        options: AugmentationOptions,
        *,
        crop: float = 1.0,
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        pixel_range: PixelRange | None = None,
    ) -> None:
        """Args:
        size: S.
        crop: the share of the scaled picture's shorter side that the central crop keeps.
        interpolation: how pictures are scaled.
        pixel_range: of pictures with other than 8 bits; see `mmft_vision.pixel_range.fitted`.
        """
        self.size, self.interpolation, self.pixel_range = size, interpolation, pixel_range
        self.scaled = max(size, math.floor(size / crop))
        self.augment = augmentation(size, options, interpolation)
        if self.augment is not None:
            self.augments = "pictures are cropped and coloured at random (backbone.augment)"

    def prepare(self, raw: Image.Image, *, train: bool) -> Tensors:
        # A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size for a fraction of the work. The
        # result is never smaller than asked for, and crops are cut out before they are scaled.
        augmented = train and self.augment is not None
        side = math.ceil(self.size / math.sqrt(SMALLEST_CROP)) if augmented else self.scaled
        raw.draft("RGB", (side, side))
        image = to_rgb(raw, self.pixel_range)
        if augmented:
            return {"pixels": self.augment(T.pil_to_tensor(image))}
        return {"pixels": self._centred(T.pil_to_tensor(image))}

    def collate(self, items: Sequence[Tensors]) -> Tensors:
        """Stack to (B, 3, S, S), channels last in memory, which is best for convolutions."""
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
            "pixel_range": None if self.pixel_range is None else asdict(self.pixel_range),
            "normalization": "within the graph",
        }

    def stamp(self, raw: Image.Image) -> bytes:
        """The stamp of its file, if it has one; else that of its content or its pixels."""
        if getattr(raw, "filename", ""):
            return stamp(Path(raw.filename))
        if isinstance(getattr(raw, "fp", None), io.BytesIO):  # A table holds it.
            return hashlib.blake2b(raw.fp.getvalue()).digest()
        return f"{raw.mode} {raw.size} ".encode() + raw.tobytes()

    def read(self, source: Path) -> Image.Image:
        return open_image(source, str(source))

    def sniff(self, head: bytes) -> bool:
        return is_image(head)

    def extent(self, raw: Image.Image) -> Extent:
        return Extent(raw.width * raw.height, "pixels")

    def inspect(self, raw: Image.Image, *, train: bool = False) -> str | None:
        """Say how a picture with other than 8 bits is understood."""
        if not is_deep(raw):
            return None
        try:
            found = colours(values(raw))
            missing = is_no_data(raw, found)
            scaled = of_values(found, self.pixel_range, missing)
        except ValueError:
            raise
        except UNDECODABLE as error:
            raise ValueError(f"it cannot be decoded: {error}") from None
        held = found[~missing]
        chosen = self.pixel_range or by_type(held)
        told = f"picture of other than 8 bits: {chosen.described}"
        if missing.any():
            told += f"; {missing.mean():.1%} of the pixels hold no data"
        if chosen.clipped(held):
            told += "; others are clipped"
        inside = chosen.inside(found) & ~any_colour(missing)
        if held.size and is_flat(scaled, inside) and held.min() < held.max():
            told += "; it is nearly flat then, see backbone.pixel_range"
        return told

    def preview(self, raw: Image.Image) -> Preview:
        """A small version of the picture; lossless if the original is tiny."""
        image = to_rgb(raw, self.pixel_range)
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


def to_rgb(image: Image.Image, pixel_range: PixelRange | None = None) -> Image.Image:
    """Decode to RGB, upright, transparency on white.

    Args:
        pixel_range: of a picture with other than 8 bits; without it, the type decides.

    Raises:
        ValueError: its values cannot be scaled.
        OSError and the others in UNDECODABLE: it cannot be decoded.
    """
    if is_deep(image):
        found = values(image)
        return of_values(found, pixel_range, is_no_data(image, found))
    with warnings_as_remarks("PIL"):
        decode(image)
        return _flattened(ImageOps.exif_transpose(image))


def of_values(
    found: Values, pixel_range: PixelRange | None, missing: Values | None = None
) -> Image.Image:
    """A deep picture as RGB; transparency, which has 16 bits, is scaled by its own range.

    Args:
        missing: which of the values stand for no data.

    Raises:
        ValueError: its values cannot be scaled.
    """
    own = colours(found)
    missing = np.zeros(own.shape, dtype=bool) if missing is None else colours(missing)
    scaled = (pixel_range or by_type(own[~missing])).to_bytes(own, missing)
    if own.shape != found.shape:
        transparency = PixelRange(0, 65535).to_bytes(found[..., -1:])
        scaled = np.concatenate([scaled, transparency], axis=2)
    return _flattened(Image.fromarray(np.ascontiguousarray(scaled)))


def any_colour(marks: Values) -> Values:
    """Pixels (H, W) with any colour marked."""
    return marks if marks.ndim == 2 else marks.any(2)


def _flattened(image: Image.Image) -> Image.Image:
    """The picture in RGB, transparency on white."""
    if image.mode == "LAB":
        lab, srgb = (ImageCms.createProfile(space) for space in ("LAB", "sRGB"))
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        assert converted is not None
        return converted
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def is_flat(image: Image.Image, inside: Values | None = None) -> bool:
    """Whether nearly all pixels have the same grey.

    Args:
        inside: the pixels (H, W) that are not clipped; only these count, if there are any.
    """
    grey = np.asarray(image.convert("L"))
    low, high = np.percentile(grey if inside is None or not inside.any() else grey[inside], (1, 99))
    return bool(high - low < _FLAT)


def augmentation(
    size: int, options: AugmentationOptions, interpolation: InterpolationMode
) -> v2.Compose | None:
    """The random changes of training pictures, or None for none."""
    if options.augment == "none":
        return None
    with torch.device("cpu"):  # Their tensors would have no values on the meta device.
        steps: list[torch.nn.Module] = [
            v2.RandomResizedCrop(
                size, scale=(SMALLEST_CROP, 1.0), interpolation=interpolation, antialias=True
            )
        ]
        if options.flip is not False:
            steps.append(v2.RandomHorizontalFlip())
        if options.augment == "randaugment":
            steps.append(v2.RandAugment(interpolation=InterpolationMode.BILINEAR))
        else:
            steps.append(v2.ColorJitter(brightness=0.2, contrast=0.2))
    return v2.Compose(steps)
