"""Image files: opening and checking them."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, UnidentifiedImageError

from mmft_core.contracts import Sample
from mmft_core.data import remark, warnings_as_remarks
from mmft_core.errors import SampleError
from mmft_datasets.labelled_files import LabelledFiles
from mmft_tables.row_files import File, missing
from mmft_vision.formats import head_of, not_read, open_file, what_it_is


def open_image(file: File, sample_id: str) -> Image.Image:
    """Open an image without decoding it.

    Raises:
        SampleError: the file does not exist, is not an image, or is too large to decode safely.
    """
    reason = not_read(str(file))
    if reason is not None and not (isinstance(file, Path) and not file.is_file()):
        raise SampleError(sample_id, reason)
    try:
        if isinstance(file, Path) and not (file.is_file() or file.is_dir()) and file.exists():
            raise SampleError(sample_id, "it is not a file")  # A pipe would wait for ever.
        with warnings_as_remarks("PIL"):
            image = open_file(file)
    except SampleError:
        raise
    except Exception as error:  # Decoders raise anything on bytes that they did not expect.
        raise SampleError(sample_id, _reason(file, error)) from None
    # PIL only warns at this size. A filter that raises warnings as errors would apply to the whole
    # process, and is not safe with threads.
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
    """Decode an image as far as needed to know that it is complete.

    A JPEG is decoded at an eighth of its size, which reads the whole file for less work.

    Raises:
        SampleError: it is missing, not an image, too large, or damaged.
    """
    with open_image(file, sample_id) as image:
        try:
            with warnings_as_remarks("PIL"):
                remark_frames(image)
                image.draft("RGB", (1, 1))
                image.load()
                image.getexif()  # Its orientation.
        except Exception as error:
            raise SampleError(sample_id, _reason(file, error)) from None


def remark_frames(image: Image.Image) -> None:
    """Remark if there is more in a file than its first picture."""
    # The other pictures of an MPO, with which cameras add depth or a preview to a JPEG, are meant
    # to be skipped.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        remark("several frames or pages, of which only the first is read")


def _reason(file: File, error: Exception) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return missing(Path(str(file)))
    if isinstance(error, IsADirectoryError):
        return "it is a folder"
    if isinstance(error, PermissionError):
        return "it may not be read"
    if isinstance(error, UnidentifiedImageError):
        return what_it_is(_head(file))
    if isinstance(error, OSError) and error.errno is not None:
        return f"it cannot be read: {(error.strerror or str(error)).lower()}"
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"it cannot be decoded: {text.rstrip('.')}"


def _head(file: File) -> bytes:
    try:
        return head_of(file)
    except OSError:  # It has vanished since.
        return b"?"


def opens(file: File) -> bool:
    """Whether `open_image` opens this file."""
    try:
        open_image(file, "").close()
    except SampleError:
        return False
    return True


class ImageFiles(LabelledFiles):
    """Image files, each with a class."""

    def __getitem__(self, index: int) -> Sample:
        sample_id = self.sample_id(index)
        image = open_image(self.path(index), sample_id)
        return Sample({"image": image}, self.target(index), sample_id)

    def check(self, index: int) -> None:
        check_image(self.path(index), self.sample_id(index))
