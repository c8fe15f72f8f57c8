"""Formats of image files: those that are read, and what to do with files of other formats."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError, _imaging

from mmft_core.utils import unread_without
from mmft_tables.row_files import File

SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".webp", ".jpe", ".jfif", ".apng", ".bmp", ".dib", ".gif", ".tif",
    ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k", ".avif", ".heic", ".heif",
    ".hif",
)  # fmt: skip

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
"""Formats that are decoded, whatever a file's suffix says. Untrusted data cannot reach PIL's other
ones: EPS, for example, is a program that PIL would have Ghostscript run."""

_RAW = (
    "it is camera raw, which is not read: convert it to JPEG, PNG or TIFF, with rawpy for example"
)
_VOLUME = (
    "it is a volume, which is not read: save slices as 16-bit PNG or TIFF, with nibabel for example"
)
_DICOM = "it is DICOM, which is not read: save it as 16-bit PNG or TIFF, with pydicom for example"
_ARRAY = "it is an array, which is not read: save it as PNG or TIFF, by PIL.Image.fromarray(array)"
_DRAWING = "it is a drawing, which is not read: render it as PNG"
_LAYERS = "it is a layered file, which is not read: export it as PNG or TIFF"
_RARE = "it is of a format that is not read: convert it to PNG, or to TIFF if it holds floats"

UNREAD: Mapping[str, str] = {
    **dict.fromkeys((".svg", ".svgz"), _DRAWING),
    **dict.fromkeys((".psd", ".xcf"), _LAYERS),
    **dict.fromkeys((".nii", ".nii.gz", ".mha", ".nrrd"), _VOLUME),
    **dict.fromkeys((".dng", ".nef", ".cr2", ".cr3", ".arw", ".orf", ".raf", ".rw2"), _RAW),
    **dict.fromkeys((".jxl", ".jxr", ".tga", ".ico", ".pcx", ".exr", ".hdr"), _RARE),
    ".dcm": _DICOM,
    ".npy": _ARRAY,
}
"""What to do with files of formats that are not read, by suffix."""

_SIGNATURE = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n|GIF8[79]a|RIFF....WEBP|BM....\0\0\0\0|II[*+]\0|MM\0[*+]"
    rb"|P[1-6]\s+(#|\d+\s)|P[Ff]\n\d|\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    re.DOTALL,
)
"""How files of most of these formats begin; AVIF and HEIC have brands."""


def open_file(file: File) -> Image.Image:
    """Open a picture by its content.

    Raises:
        UnidentifiedImageError: its format cannot be read with what is installed.
        OSError and anything else that PIL raises.
    """
    try:
        return Image.open(_source(file), formats=_formats())
    except UnidentifiedImageError:
        if not (_is_heif(head_of(file)) and _reads_heif()):
            raise
    return Image.open(_source(file), formats=["HEIF"])


def _source(file: File) -> Path | BinaryIO:
    return file if isinstance(file, Path) else file.open()


@cache
def _formats() -> tuple[str, ...]:
    """The formats that the installed Pillow decodes."""
    _silence()
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


@cache
def _reads_heif() -> bool:
    """Whether HEIC can be read; if so, PIL learns it. Called only for HEIC, as it takes a while."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def is_image(head: bytes) -> bool:
    """Whether a file that begins with these bytes has a format that may be read."""
    return _SIGNATURE.match(head) is not None or _is_avif(head) or _is_heif(head)


def head_of(file: File) -> bytes:
    """The first bytes of a file."""
    with file.open("rb") if isinstance(file, Path) else file.open() as stream:
        return stream.read(64)


def _is_avif(head: bytes) -> bool:
    return _has_brand(head, (b"avif", b"avis"))


def _is_heif(head: bytes) -> bool:
    brands = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
    return _has_brand(head, brands) and not _is_avif(head)


def _has_brand(head: bytes, brands: Sequence[bytes]) -> bool:
    """Whether a file has the ISO base media format, with one of these brands."""
    return head[4:8] == b"ftyp" and any(brand in head[8:64] for brand in brands)


def not_read(name: str) -> str | None:
    """Why a file of this name is not read, judged by its suffix; None if it may be read."""
    name = name.lower()
    return next((why for suffix, why in UNREAD.items() if name.endswith(suffix)), None)


def what_it_is(head: bytes) -> str:
    """Why a file that begins with these bytes cannot be identified."""
    if not head:
        return "the file is empty"
    if _is_avif(head) and "AVIF" not in _formats():
        return "it is AVIF, which needs Pillow 11.3 or later: pip install -U pillow"
    if _is_heif(head) and not _reads_heif():
        return unread_without("HEIC", "heic")
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return (
            "it is a TIFF that is damaged, or whose pixels cannot be read: they need 8 or 16 bits "
            "per channel, or one channel of 32-bit integers or floats"
        )
    return "it is not an image that can be decoded"


def _silence() -> None:
    """Keep libtiff and PIL's log from stderr: they name no file, and errors are raised anyway."""
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    with contextlib.suppress(OSError, AttributeError):  # If libtiff is not a shared library.
        library = ctypes.CDLL(_imaging.__file__)
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            getattr(library, name)(None)
