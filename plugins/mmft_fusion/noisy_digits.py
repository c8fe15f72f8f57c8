"""Digits in four modalities, of which none is enough alone.

Real handwritten digits, and the same digits spoken by synthetic voices, written
as words and summed up in columns, each with noise of its own.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mmft_audio.espeak import Voice
from mmft_audio.recordings import Recording
from mmft_audio.speaking import Spoken, spoken_folder
from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo, Origin, Sample, Split
from mmft_core.data import Indices
from mmft_core.errors import SampleError
from mmft_datasets.digits import load_digits
from mmft_datasets.set_aside import set_aside
from mmft_fusion.options import NoisyDigitsOptions

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

PROPERTIES = {
    "even": (0, 2, 4, 6, 8),
    "prime": (2, 3, 5, 7),
    "square": (0, 1, 4, 9),
    "multiple of three": (0, 3, 6, 9),
}
"""Labels of a digit; every digit has some of them."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOICES = [
    f"{language}+{variant}"
    for language in ("en-us", "en-gb-scotland", "en-gb-x-rp", "en-029")
    for variant in ("m1", "m3", "m7", "f1", "f2", "f4", "Annie", "john")
]

_CLASSES = {"class": tuple(map(str, range(10))), "labels": tuple(PROPERTIES)}

# Tuned so that a small network is right in about three of four cases on each modality alone.
_PIXEL_NOISE = (4.0, 10.0)  # Standard deviations, of 16 levels of grey.
_SPEECH_NOISE = (-9.0, 7.0)  # Decibels of the speech over the noise.
_SPELLING = (0.3, 0.9)  # Share of the letters that are another one.
_INK_NOISE = 6.0  # Standard deviation, in levels of grey summed over eight pixels.


class NoisyDigits(Split):
    """The digits.

    Args:
        images: (n, 8, 8) uint8.
        ink: (n, 8), what is in each row of a picture.
        labels: (n,) 0 to 9.
        folder: of the recordings; None if they are not needed.
        lacking: (n, 4) bool, which modalities a sample lacks.
        target: "class" for the digit's name, "labels" for its properties, or "number".
    """

    MODALITIES = ("image", "text", "audio", "tabular")

    def __init__(
        self,
        images: npt.NDArray[np.uint8],
        ink: npt.NDArray[np.float64],
        labels: Indices,
        texts: list[str],
        folder: Path | None,
        lacking: npt.NDArray[np.bool_],
        *,
        target: str,
    ) -> None:
        self.images, self.ink, self.labels, self.texts = images, ink, labels, texts
        self.folder, self.lacking, self.wanted = folder, lacking, target

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        held = self.MODALITIES if self.folder else tuple(m for m in self.MODALITIES if m != "audio")
        inputs = {modality: self.input(index, modality) for modality in held}
        return Sample(inputs, self.target(index), self.sample_id(index))

    def input(self, index: int, modality: str) -> Any:
        if self.lacking[index, self.MODALITIES.index(modality)]:
            return None
        if modality == "image":
            return Image.fromarray(self.images[index])
        if modality == "text":
            return self.texts[index]
        if modality == "audio":
            if self.folder is None:
                raise SampleError(self.sample_id(index), "it was built without recordings")
            return Recording(self.folder / f"{index:04}.flac", id=self.sample_id(index))
        row = self.ink[index]
        rows: dict[str, float | str] = {f"row {k + 1}": float(v) for k, v in enumerate(row)}
        return rows | {"darkest": f"row {int(row.argmax()) + 1}"}

    def target(self, index: int) -> Any:
        label = int(self.labels[index])
        if self.wanted == "labels":
            return tuple(name for name, digits in PROPERTIES.items() if label in digits)
        return float(label) if self.wanted == "number" else str(label)

    def sample_id(self, index: int) -> str:
        return f"noisy-digits[{index}]"

    def origin(self, index: int) -> Origin:
        held = [self.images[index], self.ink[index], self.texts[index], self.lacking[index]]
        return Origin([index, *held, self.target(index)], inputs=held)

    def check(self, index: int) -> None:
        """Digits that are made here are always usable."""


def build(options: NoisyDigitsOptions, context: DatasetContext) -> Dataset:
    """Make the digits, the same whatever the seed, which decides on splits and what is missing.

    Raises:
        MissingExtraError: recordings are wanted and espeakng-loader is not installed.
        StorageError: they cannot be written.
    """
    bunch = load_digits()
    labels = bunch.target.astype(np.int64)
    random_ = np.random.default_rng(0)
    images = _noisy_pictures(bunch.images, random_)
    ink = bunch.images.sum(2) + random_.normal(0, _INK_NOISE, (len(labels), 8))
    texts = [_misspelled(WORDS[label], random.Random(k)) for k, label in enumerate(labels)]
    spoken = not context.modalities or "audio" in context.modalities
    split = NoisyDigits(
        images,
        ink,
        labels,
        texts,
        _recordings(labels) if spoken else None,
        _lacking(len(labels), options.missing, context),
        target=context.target,
    )
    shares = {"val": options.val, "test": options.test}
    splits, notes = set_aside(split, labels, shares, context.seed)
    return Dataset(
        info=DatasetInfo(
            name="noisy-digits",
            classes=_CLASSES.get(context.target, ()),
            source="UCI Optical Recognition of Handwritten Digits (test part), in scikit-learn; "
            "words and noise made by this program, speech by espeak-ng",
            licence="CC BY 4.0",
            synthetic=True,
            notes=("pictures are real, all else is synthetic", *notes),
        ),
        splits=splits,
    )


def _noisy_pictures(images: Any, random_: np.random.Generator) -> npt.NDArray[np.uint8]:
    deviations = random_.uniform(*_PIXEL_NOISE, (len(images), 1, 1))
    noisy = images + random_.normal(0, 1, images.shape) * deviations
    return (noisy.clip(0, 16) * (255 / 16)).round().astype(np.uint8)  # type: ignore[no-any-return]


def _misspelled(word: str, draw: random.Random) -> str:
    share = draw.uniform(*_SPELLING)
    return "".join(draw.choice(_LETTERS) if draw.random() < share else c for c in word)


def _lacking(count: int, share: float, context: DatasetContext) -> npt.NDArray[np.bool_]:
    """Which modalities samples lack; of those that are read, never all."""
    held = NoisyDigits.MODALITIES
    lacking = np.random.default_rng(context.seed).random((count, len(held))) < share
    if not context.partial:
        return np.zeros_like(lacking)
    read = [held.index(m) for m in (context.modalities or held)]
    without = lacking[:, read].all(1)
    lacking[without, np.array(read)[np.flatnonzero(without) % len(read)]] = False
    return lacking


def _recordings(labels: Indices) -> Path:
    """The folder of the recordings, made if it is not there."""
    return spoken_folder("noisy-digits", [_spoken(k, int(label)) for k, label in enumerate(labels)])


def _spoken(index: int, label: int) -> Spoken:
    draw = random.Random(index)
    voice = Voice(draw.choice(VOICES), draw.randint(130, 190), draw.randint(30, 70))
    return Spoken(f"{index:04}.flac", WORDS[label], voice, draw.uniform(*_SPEECH_NOISE))
