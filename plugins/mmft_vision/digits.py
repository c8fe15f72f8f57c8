"""Handwritten digits: real data that every installation has."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo, Origin, Sample, Split
from mmft_datasets.digits import load_digits
from mmft_datasets.set_aside import set_aside
from mmft_datasets.split_options import SplitOptions


class Pictures(Split):
    """Pictures in memory.

    Args:
        name: begins the ids of samples: "digits[17]".
        images: (n, H, W) or (n, H, W, 3) uint8.
        labels: (n,) indices into `classes`.
    """

    def __init__(
        self,
        name: str,
        images: np.ndarray[Any, np.dtype[np.uint8]],
        labels: np.ndarray[Any, np.dtype[np.int64]],
        classes: tuple[str, ...],
    ) -> None:
        self.name, self.images, self.labels, self.classes = name, images, labels, classes

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        image = Image.fromarray(self.images[index])
        return Sample({"image": image}, self.target(index), self.sample_id(index))

    def target(self, index: int) -> str:
        return self.classes[int(self.labels[index])]

    def sample_id(self, index: int) -> str:
        return f"{self.name}[{index}]"

    def origin(self, index: int) -> Origin:
        image = self.images[index]
        return Origin((image, self.target(index)), inputs=image)

    def check(self, index: int) -> None:
        """Do nothing: pictures in memory are sound."""


def build(options: SplitOptions, context: DatasetContext) -> Dataset:
    """Load the 1,797 digits; their 17 levels of grey are spread over 0 to 255."""
    digits, labels = load_digits()
    images = (digits * (255 / 16)).round().astype(np.uint8)
    classes = tuple(map(str, range(10)))
    splits, notes = set_aside(
        Pictures("digits", images, labels, classes),
        labels,
        {"val": options.val, "test": options.test},
        context.seed,
    )
    return Dataset(
        info=DatasetInfo(
            name="digits",
            classes=classes,
            source="UCI Optical Recognition of Handwritten Digits (test part), in scikit-learn",
            licence="CC BY 4.0",
            notes=tuple(notes),
        ),
        splits=splits,
    )
