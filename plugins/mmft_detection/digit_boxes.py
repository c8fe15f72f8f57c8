"""Scenes of real handwritten digits on noise, with a box around each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo, Origin, Sample, Split
from mmft_datasets.digits import load_digits
from mmft_detection.options import DigitBoxesOptions

SIZES = {"train": 1500, "val": 150, "test": 300}
SIDE, DIGIT = 96, (20, 40)
"""Pixels of a scene, and of the smallest and the largest digit."""

MOST, _EMPTY = 4, 0.05
"""Digits of a scene, and the share of scenes without any."""

_INK = 0.25
"""Share of full ink from which a pixel belongs to a digit."""

Array = npt.NDArray[Any]
Extents = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Placed:
    """A digit in a scene: which picture of it, its side, its corner, its colour."""

    picture: int
    side: int
    x: int
    y: int
    colour: tuple[int, int, int]


@dataclass(frozen=True)
class Scene:
    """Digits on noise that follows from a seed, and the true objects."""

    digits: tuple[Placed, ...]
    seed: int
    objects: tuple[dict[str, Any], ...]


class DigitBoxes(Split):
    """Scenes, each drawn on access.

    Args:
        pictures: (n, 8, 8) 0 to 16.
    """

    def __init__(
        self, name: str, scenes: Sequence[Scene], pictures: Array, *, targets: bool
    ) -> None:
        self.name, self.scenes, self.pictures = name, tuple(scenes), pictures
        self.targets = targets

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> Sample:
        image = _drawn(self.scenes[index], self.pictures)
        return Sample({"image": image}, self.target(index), self.sample_id(index))

    def target(self, index: int) -> list[dict[str, Any]] | None:
        return list(self.scenes[index].objects) if self.targets else None

    def sample_id(self, index: int) -> str:
        return f"detection-digits, {self.name}[{index}]"

    def origin(self, index: int) -> Origin:
        return Origin([self.sample_id(index), repr(self.scenes[index])])

    def check(self, index: int) -> None:
        """Scenes that are made here are always usable."""


def build(options: DigitBoxesOptions, context: DatasetContext) -> Dataset:
    """Make the scenes, the same whatever the seed. No picture of a digit is in two splits."""
    bunch = load_digits()
    random = np.random.default_rng(0)
    order = random.permutation(len(bunch.target))
    own = {"val": order[:180], "test": order[180:420], "train": order[420:]}
    inked = [_inked(picture) for picture in bunch.images]
    scenes = {
        name: [_scene(own[name], inked, bunch.target, random) for _ in range(size)]
        for name, size in SIZES.items()
    }
    if options.samples is not None:
        scenes["train"] = scenes["train"][: options.samples]
    empty = sum(not scene.objects for scene in scenes["train"])
    return Dataset(
        info=DatasetInfo(
            name="detection-digits",
            classes=tuple(map(str, range(10))),
            source="UCI Optical Recognition of Handwritten Digits (test part), in scikit-learn; "
            "scenes made by this program",
            licence="CC BY 4.0",
            synthetic=True,
            notes=(
                "digits are real, scenes are synthetic",
                "no digit is in two splits",
                f"{empty} training scenes hold no digit",
            ),
        ),
        splits={
            name: DigitBoxes(name, found, bunch.images, targets=context.target != "none")
            for name, found in scenes.items()
        },
    )


def _scene(pictures: Array, inked: Sequence[Extents], labels: Array, random: Any) -> Scene:
    digits: list[Placed] = []
    objects: list[dict[str, Any]] = []
    wanted = 0 if random.random() < _EMPTY else int(random.integers(1, MOST + 1))
    for _ in range(4 * wanted):  # Places that overlap another digit are drawn again.
        if len(digits) == wanted:
            break
        picture, side = int(random.choice(pictures)), int(random.integers(*DIGIT))
        x, y = (int(start) for start in random.integers(0, SIDE - side + 1, 2))
        colour = tuple(int(c) for c in random.integers(150, 256, 3))
        if any(
            abs(x - d.x) < (side + d.side) * 0.4 and abs(y - d.y) < (side + d.side) * 0.4
            for d in digits
        ):
            continue
        digits.append(Placed(picture, side, x, y, colour))  # type: ignore[arg-type]
        # The ink's extent in the picture of 8 x 8 pixels, scaled as the digit is.
        columns, rows = inked[picture]
        left, right = (x + side * edge / 8 for edge in columns)
        top, bottom = (y + side * edge / 8 for edge in rows)
        box = [round(edge, 2) for edge in (left, top, right, bottom)]
        objects.append({"label": str(labels[picture]), "box": box})
    return Scene(tuple(digits), int(random.integers(2**31)), tuple(objects))


def _inked(picture: Array) -> Extents:
    """The columns and the rows from the first to behind the last that hold ink."""
    held = picture >= 16 * _INK
    extents = []
    for axis in (0, 1):
        there = np.flatnonzero(held.any(axis))
        extents.append((int(there[0]), int(there[-1]) + 1))
    return extents[0], extents[1]


def _drawn(scene: Scene, pictures: Array) -> Image.Image:
    random = np.random.default_rng(scene.seed)
    coarse = Image.fromarray(random.integers(0, 110, (6, 6, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32)
    noisy = smooth + random.normal(0, 12, (SIDE, SIDE, 1))
    image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    for digit in scene.digits:
        grey = (pictures[digit.picture] * (255 / 16)).astype(np.uint8)
        size = (digit.side, digit.side)
        mask = Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR)
        image.paste(digit.colour, (digit.x, digit.y), mask)
    return image
