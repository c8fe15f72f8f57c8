"""The values of pictures whose channels are not unsigned 8-bit numbers.

Pillow reads one such channel as it is, but only the upper bytes of several channels of 16 bits.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import ExifTags, Image
from PIL.ImageFile import ImageFile
from torchvision.io import ImageReadMode, decode_image

from mmft_core.data import warnings_as_remarks

Values: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_BITS, _PLANES, _SAMPLE_FORMAT, _PHOTOMETRIC = 258, 284, 339, 262
_SIGNED, _WHITE_IS_ZERO = 2, 0
_GDAL_NODATA = 42113
"""The tag of GDAL's text with the value of pixels that hold no data."""

_UPRIGHT: Mapping[int, Callable[[Values], Values]] = {
    2: lambda v: v[:, ::-1],
    3: lambda v: v[::-1, ::-1],
    4: lambda v: v[::-1],
    5: lambda v: v.swapaxes(0, 1),
    6: lambda v: np.rot90(v, -1),
    7: lambda v: v[::-1, ::-1].swapaxes(0, 1),
    8: lambda v: np.rot90(v),
}
"""How to turn a picture upright, by its EXIF orientation."""


def is_deep(image: Image.Image) -> bool:
    """Whether a picture, opened but not decoded, holds anything but unsigned 8-bit numbers."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16") or _is_hidden(image)


def values(image: Image.Image) -> Values:
    """The values of a deep picture, upright: (H, W), or (H, W, C) with any transparency last.

    Raises:
        ValueError, OSError, RuntimeError: it cannot be decoded.
    """
    with warnings_as_remarks("PIL"):
        if not image.mode.startswith(("RGB", "LA")):
            return _of_one_channel(image)
        assert isinstance(image, ImageFile)
        read = {"TIFF": _of_tiff, "PNG": _of_png, "PPM": _of_ppm}[str(image.format)]
        return read(image, _content(image))


def is_no_data(image: Image.Image, found: Values) -> Values:
    """Which values stand for no data, as the TIFF says: boolean, of the shape of `found`."""
    marks: Values = np.zeros(found.shape, dtype=bool)
    given = getattr(image, "tag_v2", {}).get(_GDAL_NODATA)
    try:
        mark = float(str(given).strip("\0 "))
    except ValueError:  # There is none, or it is not a number.
        return marks
    if _is_inverted(image):
        mark = np.iinfo(np.uint16).max - mark
    if np.isnan(mark):
        return np.isnan(found)
    with np.errstate(over="ignore"):
        return found == (found.dtype.type(mark) if found.dtype.kind == "f" else mark)


def _is_inverted(image: Image.Image) -> bool:
    """Whether 0 is white in a 16-bit file; `values` inverts these."""
    return image.mode.startswith("I;16") and _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO


def decode(image: Image.Image) -> None:
    """Decode a picture.

    Pillow memory-maps uncompressed TIFFs with the width and height of the upright picture, which
    garbles those that lie on their side. It does so only with files that have a name.
    """
    name = getattr(image, "filename", "")
    if image.format != "TIFF" or not name:
        image.load()
        return
    image.filename = ""  # type: ignore[attr-defined]
    try:
        image.load()
    finally:
        image.filename = name  # type: ignore[attr-defined]


def _is_hidden(image: Image.Image) -> bool:
    """Whether it is a deep picture that Pillow would decode to 8 bits."""
    if image.format == "TIFF" and image.mode == "L":
        return _tag(image, _SAMPLE_FORMAT) == _SIGNED
    if not isinstance(image, ImageFile) or not image.tile:
        return False
    if image.format == "TIFF":
        return image.mode.startswith("RGB") and _tag(image, _BITS) > 8
    codec, arguments = image.tile[0].codec_name, _arguments(image)
    if image.format == "PPM":
        return codec == "ppm" and arguments[1] > 255 and image.mode == "RGB"
    return image.format == "PNG" and ";16" in str(arguments)


def _arguments(image: ImageFile) -> Any:
    """The arguments of Pillow's decoder; for some, the first says how pixels are laid out."""
    return image.tile[0].args


def _tag(image: Image.Image, tag: int) -> int:
    """A tag of a TIFF, for its first channel; 1, the default of all that are read here, if none."""
    found = image.tag_v2.get(tag, 1)  # type: ignore[attr-defined]
    return int(found[0] if isinstance(found, tuple) else found)


def _of_one_channel(image: Image.Image) -> Values:
    decode(image)
    array = np.asarray(image)
    if image.format == "PPM" and image.mode == "I":
        array = array.astype(np.uint16)  # Pillow scales them to 16 bits by the file's maximum.
    if image.format != "TIFF":
        return _upright(array, image)
    # Pillow has turned it upright.
    if image.mode == "L":
        return array.view(np.int8)
    if image.mode == "I" and _tag(image, _BITS) == 32 and _tag(image, _SAMPLE_FORMAT) != _SIGNED:
        return array.view(np.uint32)
    if _is_inverted(image):
        return np.iinfo(np.uint16).max - array
    return array


def _upright(array: Values, image: Image.Image) -> Values:
    turn = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return array if turn is None else turn(array)


def _content(image: ImageFile) -> bytes:
    """All of the file, whose position is restored for Pillow."""
    assert image.fp is not None
    place = image.fp.tell()
    image.fp.seek(0)
    content: bytes = image.fp.read()
    image.fp.seek(place)
    return content


def _of_png(image: ImageFile, content: bytes) -> Values:
    data = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    decoded = decode_image(data, ImageReadMode.UNCHANGED)
    # Another object, because Pillow decodes a PNG to find its orientation.
    return _upright(decoded.permute(1, 2, 0).numpy(), Image.open(io.BytesIO(content)))


def _of_ppm(image: ImageFile, content: bytes) -> Values:
    (_, highest), (width, height) = _arguments(image), image.size
    found = np.frombuffer(content, ">u2", 3 * width * height, image.tile[0].offset)
    scaled = np.rint(found * (65535 / highest)).clip(0, 65535)
    return scaled.astype(np.uint16).reshape(height, width, 3)


def _of_tiff(image: ImageFile, content: bytes) -> Values:
    """Decode it twice: Pillow takes one byte or the other, depending on the order it is told."""
    if _tag(image, _PLANES) != 1:
        raise ValueError("TIFFs with a plane for each channel of 16 bits are not read")
    order = _arguments(image)[0][-1]
    little = order == "L" or (order == "N" and sys.byteorder == "little")
    lower = _one_byte(content, "B" if little else "L")
    return _one_byte(content, order).astype(np.uint16) << 8 | lower


def _one_byte(content: bytes, order: str) -> Values:
    image = Image.open(io.BytesIO(content), formats=["TIFF"])
    assert isinstance(image, ImageFile)
    layout, *others = _arguments(image)
    image.tile = [tile._replace(args=(layout[:-1] + order, *others)) for tile in image.tile]
    return np.asarray(image)
