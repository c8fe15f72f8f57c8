"""Boxes drawn onto their picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from mmft_core.contracts import Preview
from mmft_detection.boxes import Object
from mmft_vision.pixel_range import PixelRange
from mmft_vision.processing import to_rgb

_SIDE = 360
"""Pixels of the longer side of what is drawn."""

TRUE, FOUND = (0, 170, 90), (235, 90, 0)
"""Colours of true and of predicted boxes."""


def drawn(
    raw: Image.Image,
    objects: Sequence[Object],
    target: Sequence[Object] | None,
    pixel_range: PixelRange | None,
) -> Preview:
    """Draw true boxes in green with their class below, predicted ones in orange with class and
    score above."""
    image = to_rgb(raw, pixel_range)
    scale = _SIDE / max(image.size)
    size = [max(1, round(side * scale)) for side in image.size]
    resample = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS
    image = image.resize((size[0], size[1]), resample)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(18)
    for thing in target or ():
        _box(pen, font, thing["box"], scale, TRUE, f"{thing['label']}", below=True)
    for thing in reversed(objects):  # The surest on top.
        caption = f"{thing['label']} {thing['score']:.2f}"
        _box(pen, font, thing["box"], scale, FOUND, caption, below=False)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88, optimize=True)
    return Preview("image/jpeg", buffer.getvalue())


def _box(
    pen: ImageDraw.ImageDraw,
    font: Any,
    box: Sequence[float],
    scale: float,
    colour: tuple[int, int, int],
    caption: str,
    *,
    below: bool,
) -> None:
    left, top, right, bottom = (edge * scale for edge in box)
    pen.rectangle((left, top, max(left, right), max(top, bottom)), outline=colour, width=3)
    width, height = pen.textbbox((0, 0), caption, font=font)[2:]
    x = min(max(0, left), pen.im.size[0] - width - 4)
    y = bottom if below else top - height - 2
    y = min(max(0, y), pen.im.size[1] - height - 2)
    pen.rectangle((x, y, x + width + 4, y + height + 2), fill=colour)
    pen.text((x + 2, y), caption, font=font, fill=(255, 255, 255))
