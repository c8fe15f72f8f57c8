"""Image files: opening them, and knowing whether they are sound."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from mmft_core.contracts import Sample, Split
from mmft_core.errors import SampleError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")

_BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
"""What PIL raises on files that it cannot decode."""


def open_image(path: Path, sample_id: str) -> Image.Image:
    """Open an image without decoding it.

    Raises:
        SampleError: there is no such file, or it is not an image.
    """
    try:
        with warnings.catch_warnings():
            # PIL's limit is a warning at 89 megapixels and an error at twice that.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(path)
    except _BROKEN as error:
        raise SampleError(sample_id, _reason(path, error)) from None


def check_image(path: Path, sample_id: str) -> None:
    """Decode an image as far as is needed to know that it is whole.

    A JPEG is decoded at an eighth of its size, which reads all of the file for a part of the work.

    Raises:
        SampleError: it is missing, not an image, or damaged.
    """
    with open_image(path, sample_id) as image:
        try:
            image.draft("RGB", (1, 1))
            image.load()
        except _BROKEN as error:
            raise SampleError(sample_id, _reason(path, error)) from None


def _reason(path: Path, error: BaseException) -> str:
    try:
        size = path.stat().st_size
    except OSError:
        return "there is no such file"
    if path.is_dir():
        return "is a folder"
    if size == 0:
        return "the file is empty"
    if isinstance(error, PermissionError):
        return "may not be read"
    if isinstance(error, Image.UnidentifiedImageError):
        return "is not an image that can be decoded"
    return f"cannot be decoded: {str(error).rstrip('.')}"


class ImageFiles(Split):
    """Image files with a class each.

    Names are kept as one Arrow array rather than as Python strings: a million paths take little
    memory, and worker processes share it instead of copying it with each reference count.

    Args:
        root: the folder that the names are relative to.
        names: (n,) strings.
        labels: (n,) indices into `classes`.
    """

    def __init__(
        self,
        root: Path,
        names: pa.Array,
        labels: np.ndarray[Any, np.dtype[np.int64]],
        classes: tuple[str, ...],
    ) -> None:
        self.root, self.names, self.labels, self.classes = root, names, labels, classes

    def __len__(self) -> int:
        return len(self.names)

    def path(self, index: int) -> Path:
        return self.root / self.names[index].as_py()

    def sample_id(self, index: int) -> str:
        return str(self.path(index))

    def target(self, index: int) -> str:
        return self.classes[self.labels[index]]

    def __getitem__(self, index: int) -> Sample:
        sample_id = self.sample_id(index)
        image = open_image(self.path(index), sample_id)
        return Sample({"image": image}, self.target(index), sample_id)

    def check(self, index: int) -> None:
        check_image(self.path(index), self.sample_id(index))
