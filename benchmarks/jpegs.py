"""Real JPEGs to benchmark with: cut-outs of the photographs that scikit-learn ships."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images


def make_jpegs(folder: Path, images: int, size: tuple[int, int] = (500, 375)) -> Path:
    """Write `images` JPEGs of about ImageNet's size, half in each of two class folders.

    Beyond the first 64 of a class, files are hard links: as many to read, but quick to make.
    """
    random = np.random.default_rng(0)
    for label, pixels in zip(("china", "flower"), load_sample_images().images, strict=True):
        target = folder / label
        target.mkdir(parents=True)
        photograph = Image.fromarray(pixels)
        for number in range(images // 2):
            path = target / f"{number:06}.jpg"
            if number >= 64:
                os.link(target / f"{number % 64:06}.jpg", path)
                continue
            left = int(random.integers(0, photograph.width - size[0]))
            top = int(random.integers(0, photograph.height - size[1]))
            box = (left, top, left + size[0], top + size[1])
            photograph.crop(box).save(path, quality=90)
    return folder
