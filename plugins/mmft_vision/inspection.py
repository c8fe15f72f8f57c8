"""What `mmft data check` learns of a picture."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from mmft_core.contracts import Bytes, Floats, Inspector, Preview, Split, Traits
from mmft_data_check.profiles import correlation
from mmft_vision.deep import is_deep, is_no_data, values
from mmft_vision.images import remark_frames
from mmft_vision.options import AugmentationOptions
from mmft_vision.pixel_range import PixelRange, find
from mmft_vision.pixel_range import colours as colours_of
from mmft_vision.processing import ImageProcessor, any_colour, is_flat, of_values, to_rgb

_SIDE = 16
"""The side of the thumbnails that are compared, in pixels."""

_BLANK = 2.0
"""Standard deviation of a picture's grey values (0 to 255), below which there is nothing to see."""

_EXTREME = 8.0
"""Ratio of a picture's sides, beyond which a square crop shows little of it."""


class ImageInspector(Inspector):
    """Compares grey thumbnails of 16 x 16 pixels, found by their difference hash.

    The hash has one bit for each pair of pixels side by side in a thumbnail of 8 x 9.
    """

    unit = "pixels"
    least_long = float("inf")  # Large pictures are scaled down.
    alike = 0.996

    def __init__(self) -> None:
        self.pixel_range: PixelRange | None = None

    def fit(self, train: Split, modality: str) -> Sequence[str]:
        self.pixel_range = find(train, modality)
        if self.pixel_range is None:
            return ()
        return [f"pictures of other than 8 bits: {self.pixel_range.described}"]

    def inspect(self, raw: Image.Image) -> Traits:
        width, height = raw.size
        remark_frames(raw)
        raw.draft("RGB", (8 * _SIDE, 8 * _SIDE))
        deep = values(raw) if is_deep(raw) else None
        missing = None if deep is None else is_no_data(raw, deep)
        image = to_rgb(raw) if deep is None else of_values(deep, self.pixel_range, missing)
        digest = hashlib.blake2b(f"{raw.mode}{width}x{height}".encode(), digest_size=16)
        digest.update(image.tobytes() if deep is None else deep.tobytes())
        grey = image.convert("L")
        thumbnail = np.asarray(grey.resize((_SIDE, _SIDE), Image.Resampling.BOX), np.uint8)
        colours = np.asarray(image.resize((2, 2), Image.Resampling.BOX), np.float32).reshape(-1)
        blank = float(np.asarray(grey).std()) < _BLANK
        if deep is not None:
            held = deep[~missing]
            blank = not held.size or bool(held.min() == held.max())
        faults = {"blank": "shows nothing: all of it has one colour"} if blank else {}
        inside = None
        if deep is not None and self.pixel_range is not None:
            inside = self.pixel_range.inside(colours_of(deep)) & ~any_colour(colours_of(missing))
        if deep is not None and not blank and is_flat(image, inside):
            faults["flat"] = (
                f"is nearly of one grey if values from {self.pixel_range} span black to white"
            )
        if max(width, height) > _EXTREME * min(width, height):
            faults["extreme-shape"] = f"is {width} x {height} pixels, of which a crop shows little"
        return Traits(
            digest=digest.digest(),
            bands=() if blank else _bands(grey),
            profile=thumbnail.reshape(-1),
            features=np.concatenate([thumbnail.reshape(-1), colours]).astype(np.float32) / 255,
            size=float(width * height),
            faults=faults,
        )

    def similarity(self, one: Bytes, others: Bytes) -> Floats:
        """The correlation of the pixels, which does not depend on brightness or contrast."""
        return correlation(one, others)

    def cells(self, raw: Image.Image) -> Mapping[str, str]:
        name = getattr(raw, "filename", "")
        return {"image": str(name)} if name else {}

    def preview(self, raw: Image.Image) -> Preview:
        options = AugmentationOptions(augment="none")
        return ImageProcessor(_SIDE, options, pixel_range=self.pixel_range).preview(raw)


def _bands(grey: Image.Image) -> list[int]:
    """The 64 bits of the difference hash in four parts.

    Pictures whose hashes differ in up to three bits have a part in common.
    """
    small = np.asarray(grey.resize((9, 8), Image.Resampling.BOX), np.int16)
    bits = np.packbits(small[:, 1:] > small[:, :-1])
    return [int(part) for part in bits.view(np.uint16)]
