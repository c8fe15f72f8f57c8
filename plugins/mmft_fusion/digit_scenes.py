"""Scenes of real digits in colours, with captions in writing and in speech."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mmft_audio.espeak import Voice
from mmft_audio.recordings import Recording
from mmft_audio.speaking import Spoken, spoken_folder
from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo, Origin, Sample, Split
from mmft_core.errors import SampleError
from mmft_datasets.digits import load_digits
from mmft_fusion.noisy_digits import VOICES, WORDS
from mmft_fusion.options import DigitScenesOptions

SIZES = {"train": 3000, "val": 300, "test": 400}
SIDE, DIGIT = 64, 28
"""Pixels of a scene and of a digit in it."""

COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 180, 60),
    "blue": (50, 80, 230),
    "yellow": (230, 210, 40),
    "white": (245, 245, 245),
    "purple": (160, 50, 200),
}
_PHRASES = (
    "{left} left of {right}",
    "{right} to the right of {left}",
    "{left} and then {right}",
    "{left} beside {right}, which is on the right",
)


@dataclass(frozen=True)
class Placed:
    """A digit in a scene: which picture of it, its colour, and where its corner is."""

    picture: int
    label: int
    colour: str
    x: int
    y: int

    def __str__(self) -> str:
        return f"a {self.colour} {WORDS[self.label]}"


@dataclass(frozen=True)
class Scene:
    """One or two digits on a dark background, and its caption."""

    digits: tuple[Placed, ...]
    shade: int
    caption: str


class DigitScenes(Split):
    """Scenes, each drawn on access.

    Args:
        pictures: (n, 8, 8) 0 to 16.
        folder: of the spoken captions; None if they are not needed.
        modalities: the inputs of a scene, "audio" only with a folder.
        target: "labels" for the digits that occur, "none", or else the caption.
    """

    def __init__(
        self,
        dataset: str,
        name: str,
        scenes: Sequence[Scene],
        pictures: npt.NDArray[np.float64],
        folder: Path | None,
        modalities: Sequence[str],
        target: str,
    ) -> None:
        self.dataset, self.name = dataset, name
        self.scenes, self.pictures = tuple(scenes), pictures
        self.folder, self.modalities, self.wanted = folder, tuple(modalities), target

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> Sample:
        inputs = {modality: self.input(index, modality) for modality in self.modalities}
        return Sample(inputs, self.target(index), self.sample_id(index))

    def input(self, index: int, modality: str) -> Any:
        if modality == "image":
            return _drawn(self.scenes[index], self.pictures)
        if modality == "text":
            return self.scenes[index].caption
        if self.folder is None:
            raise SampleError(self.sample_id(index), "it was built without speech")
        return Recording(self.folder / f"{self.name}-{index:04}.flac", id=self.sample_id(index))

    def target(self, index: int) -> str | tuple[str, ...] | None:
        if self.wanted == "labels":
            return tuple(sorted({str(digit.label) for digit in self.scenes[index].digits}))
        return None if self.wanted == "none" else self.scenes[index].caption

    def sample_id(self, index: int) -> str:
        return f"{self.dataset}, {self.name}[{index}]"

    def origin(self, index: int) -> Origin:
        return Origin([self.sample_id(index), asdict(self.scenes[index])])

    def check(self, index: int) -> None:
        """Scenes that are made here are always usable."""

    def sizes(self) -> Sequence[float]:
        return [len(scene.caption) for scene in self.scenes]


def build(options: DigitScenesOptions, context: DatasetContext) -> Dataset:
    """Make the scenes, the same whatever the seed. No picture of a digit is in two splits.

    Raises:
        MissingExtraError: speech is wanted and espeakng-loader is not installed.
        StorageError: it cannot be written.
    """
    spoken = not context.modalities or "audio" in context.modalities
    held = ("image", "text", "audio") if spoken else ("image", "text")
    return _dataset("digit-scenes", held, options, context)


def build_labelled(options: DigitScenesOptions, context: DatasetContext) -> Dataset:
    """Make the same scenes as pictures alone, labelled by the digits that occur in each."""
    return _dataset("labelled-scenes", ("image",), options, context)


def _dataset(
    name: str, modalities: Sequence[str], options: DigitScenesOptions, context: DatasetContext
) -> Dataset:
    bunch = load_digits()
    scenes = _all_scenes(bunch.target)
    folder = _speech(scenes) if "audio" in modalities else None
    if options.samples is not None:
        scenes["train"] = scenes["train"][: options.samples]
    more = "; scenes and captions made by this program, speech by espeak-ng"
    return Dataset(
        info=DatasetInfo(
            name=name,
            classes=tuple(map(str, range(10))) if context.target == "labels" else (),
            source="UCI Optical Recognition of Handwritten Digits (test part), in scikit-learn"
            + (more if "text" in modalities else "; scenes made by this program"),
            licence="CC BY 4.0",
            synthetic=True,
            notes=("digits are real, all else is synthetic", "no digit is in two splits"),
        ),
        splits={
            split: DigitScenes(name, split, own, bunch.images, folder, modalities, context.target)
            for split, own in scenes.items()
        },
    )


def _all_scenes(labels: Any) -> dict[str, list[Scene]]:
    draw = random.Random(0)
    order = list(range(len(labels)))
    draw.shuffle(order)
    own = {"val": order[:180], "test": order[180:420], "train": order[420:]}
    return {
        name: [_scene(own[name], labels, draw) for _ in range(size)] for name, size in SIZES.items()
    }


def _scene(pictures: Sequence[int], labels: Any, draw: random.Random) -> Scene:
    count = draw.choice((1, 2, 2))
    starts = [(SIDE - DIGIT) // 2] if count == 1 else [1, SIDE // 2 + 1]
    digits = []
    for start in starts:
        picture = draw.choice(pictures)
        x, y = start + draw.randint(0, 2), draw.randint(0, SIDE - DIGIT)
        digits.append(Placed(picture, int(labels[picture]), draw.choice(list(COLOURS)), x, y))
    caption = str(digits[0])
    if count == 2:
        caption = draw.choice(_PHRASES).format(left=digits[0], right=digits[1])
    return Scene(tuple(digits), draw.randint(0, 60), caption)


def _drawn(scene: Scene, pictures: npt.NDArray[np.float64]) -> Image.Image:
    image = Image.new("RGB", (SIDE, SIDE), (scene.shade,) * 3)
    for digit in scene.digits:
        grey = (pictures[digit.picture] * (255 / 16)).astype(np.uint8)
        mask = Image.fromarray(grey).resize((DIGIT, DIGIT), Image.Resampling.BICUBIC)
        image.paste(COLOURS[digit.colour], (digit.x, digit.y), mask)
    return image


def _speech(scenes: dict[str, list[Scene]]) -> Path:
    """The folder of the spoken captions, made if it is not there."""
    spoken = [
        _spoken(f"{name}-{k:04}.flac", scene.caption)
        for name, own in scenes.items()
        for k, scene in enumerate(own)
    ]
    return spoken_folder("digit-scenes", spoken)


def _spoken(file: str, caption: str) -> Spoken:
    draw = random.Random(file)
    voice = Voice(draw.choice(VOICES), draw.randint(140, 200), draw.randint(30, 70))
    return Spoken(file, caption, voice)
