"""Image files: opening them, and knowing whether they are sound."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, UnidentifiedImageError

from mmft_core.contracts import Sample
from mmft_core.data.labelled_files import LabelledFiles
from mmft_core.data.row_files import File, missing
from mmft_core.errors import SampleError

SUFFIXES = (
    ".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm",
)  # fmt: skip

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""What is decoded, whatever a file's suffix says. PIL's other formats stay shut to data that
nobody here made: EPS, for one, is a program that PIL would have Ghostscript run."""


def open_image(file: File, sample_id: str) -> Image.Image:
    """Open an image without decoding it.

    Raises:
        SampleError: there is no such file, it is not an image, or too large to be decoded safely.
    """
    try:
        if isinstance(file, Path) and not (file.is_file() or file.is_dir()) and file.exists():
            raise SampleError(sample_id, "is not a file")  # A pipe would wait for ever.
        image = Image.open(file if isinstance(file, Path) else file.open(), formats=_FORMATS)
    except SampleError:
        raise
    except Exception as error:  # Decoders raise anything on bytes that they did not expect.
        raise SampleError(sample_id, _reason(file, error)) from None
    # PIL only warns at this size. Making an error of a warning is for the whole process, and not
    # safe among threads.
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        image.close()
        raise SampleError(
            sample_id,
            f"its {image.width} x {image.height} pixels are more than the {limit / 1e6:.0f} "
            "million that can be decoded safely",
        )
    return image


def check_image(file: File, sample_id: str) -> None:
    """Decode an image as far as is needed to know that it is whole.

    A JPEG is decoded at an eighth of its size, which reads all of the file for a part of the work.

    Raises:
        SampleError: it is missing, not an image, too large, or damaged.
    """
    with open_image(file, sample_id) as image:
        try:
            image.draft("RGB", (1, 1))
            image.load()
        except Exception as error:
            raise SampleError(sample_id, _reason(file, error)) from None


def _reason(file: File, error: Exception) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return missing(Path(str(file)))
    if isinstance(error, IsADirectoryError):
        return "is a folder"
    if isinstance(error, PermissionError):
        return "may not be read"
    if isinstance(error, UnidentifiedImageError):
        return "the file is empty" if _is_empty(file) else "is not an image that can be decoded"
    if isinstance(error, OSError) and error.errno is not None:
        return f"cannot be read: {(error.strerror or str(error)).lower()}"
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"cannot be decoded: {text.rstrip('.')}"


def _is_empty(file: File) -> bool:
    if not isinstance(file, Path):
        return not file.read()
    try:
        return file.stat().st_size == 0
    except OSError:  # It vanished since.
        return False


def is_image(file: File) -> bool:
    """Whether a file is one that `open_image` opens."""
    try:
        open_image(file, "").close()
    except SampleError:
        return False
    return True


class ImageFiles(LabelledFiles):
    """Image files with a class each."""

    def __getitem__(self, index: int) -> Sample:
        sample_id = self.sample_id(index)
        image = open_image(self.path(index), sample_id)
        return Sample({"image": image}, self.target(index), sample_id)

    def check(self, index: int) -> None:
        check_image(self.path(index), self.sample_id(index))
