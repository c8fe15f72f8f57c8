"""What `mmft data check` learns of a picture."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
from PIL import Image

from mmft_core.contracts import Bytes, Floats, Inspector, Preview, Traits
from mmft_core.data_check.profiles import correlation
from mmft_vision.options import AugmentationOptions
from mmft_vision.processing import ImageProcessor, to_rgb

_SIDE = 16
"""Of the thumbnails that are compared."""

_BLANK = 2.0
"""Standard deviation of a picture's grey values, of 255, below which there is nothing to see."""

_EXTREME = 8.0
"""Ratio of the sides of a picture of which a square crop shows little."""


class ImageInspector(Inspector):
    """Compares grey thumbnails of 16 x 16 pixels, found by their difference hash.

    The hash has a bit for each two pixels that stand side by side in a thumbnail of 8 x 9.
    """

    unit = "pixels"
    least_long = float("inf")  # Large pictures are scaled down.
    alike = 0.996

    def inspect(self, raw: Image.Image) -> Traits:
        width, height = raw.size
        raw.draft("RGB", (8 * _SIDE, 8 * _SIDE))
        image = to_rgb(raw)
        digest = hashlib.blake2b(f"{raw.mode}{width}x{height}".encode(), digest_size=16)
        digest.update(image.tobytes())
        grey = image.convert("L")
        thumbnail = np.asarray(grey.resize((_SIDE, _SIDE), Image.Resampling.BOX), np.uint8)
        colours = np.asarray(image.resize((2, 2), Image.Resampling.BOX), np.float32).reshape(-1)
        blank = float(np.asarray(grey).std()) < _BLANK
        faults = {"blank": "shows nothing: all of it is of one colour"} if blank else {}
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
        """The correlation of the pixels, which a change of brightness or contrast leaves."""
        return correlation(one, others)

    def cells(self, raw: Image.Image) -> Mapping[str, str]:
        name = getattr(raw, "filename", "")
        return {"image": str(name)} if name else {}

    def preview(self, raw: Image.Image) -> Preview:
        return ImageProcessor(_SIDE, AugmentationOptions(augment="none")).preview(raw)


def _bands(grey: Image.Image) -> list[int]:
    """The 64 bits of the difference hash in four parts.

    Pictures whose hashes differ in up to three bits have a part in common.
    """
    small = np.asarray(grey.resize((9, 8), Image.Resampling.BOX), np.int16)
    bits = np.packbits(small[:, 1:] > small[:, :-1])
    return [int(part) for part in bits.view(np.uint16)]
