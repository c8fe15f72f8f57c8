"""A folder of pictures: class folders, or train/, val/ and test/ with class folders in them."""

from __future__ import annotations

from mmft_core.contracts import Dataset, DatasetContext
from mmft_datasets.class_folder_dataset import class_folder_dataset
from mmft_datasets.class_folders import FileKind
from mmft_vision.formats import SUFFIXES, UNREAD
from mmft_vision.images import ImageFiles, opens
from mmft_vision.options import ImageFolderOptions

PICTURES = FileKind("pictures", SUFFIXES, tuple(UNREAD), one="image", is_one=opens)


def build(options: ImageFolderOptions, context: DatasetContext) -> Dataset:
    """Find the pictures.

    Raises:
        DataError: see `class_folder_dataset`.
    """
    shares = {"val": options.val, "test": options.test}
    return class_folder_dataset(options.path, PICTURES, ImageFiles, shares, context)
