"""A dataset: patches of the two photos that scikit-learn brings along."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo, Sample, Split
from mmft_template.options import PhotoPatchesOptions

SIDE = 32
CLASSES = ("flower", "temple")

Corner = tuple[str, int, int]
"""Which photo, and where in it."""


class Patches(Split):
    """Squares cut out of photos, when they are asked for."""

    def __init__(
        self, photos: dict[str, np.ndarray[Any, np.dtype[np.uint8]]], corners: list[Corner]
    ) -> None:
        self.photos, self.corners = photos, corners

    def __len__(self) -> int:
        return len(self.corners)

    def __getitem__(self, index: int) -> Sample:
        photo, top, left = self.corners[index]
        patch = self.photos[photo][top : top + SIDE, left : left + SIDE]
        return Sample(
            inputs={"image": Image.fromarray(patch)}, target=photo, id=f"{photo}[{top},{left}]"
        )


def build(options: PhotoPatchesOptions, context: DatasetContext) -> Dataset:
    """Cut both photos along a grid and divide the squares at random, by the seed."""
    temple, flower = load_sample_images().images
    photos = {"flower": flower, "temple": temple}
    corners = [
        (name, top, left)
        for name, photo in photos.items()
        for top in range(0, photo.shape[0] - SIDE + 1, SIDE)
        for left in range(0, photo.shape[1] - SIDE + 1, SIDE)
    ]
    order = np.random.default_rng(context.seed).permutation(len(corners))
    val, test = (round(share * len(corners)) for share in (options.val, options.test))
    cuts = {"val": order[:val], "test": order[val : val + test], "train": order[val + test :]}
    return Dataset(
        info=DatasetInfo(
            name="photo-patches",
            classes=CLASSES,
            source="china.jpg and flower.jpg of scikit-learn",
            licence="CC BY 2.0",
            notes=(f"Patches of {SIDE}x{SIDE} pixels; the splits share the two photos.",),
        ),
        splits={
            name: Patches(photos, [corners[i] for i in chosen]) for name, chosen in cuts.items()
        },
    )
