"""Folders of synthetic speech, spoken once on all cores and kept in the user's cache."""

from __future__ import annotations

import importlib.metadata
import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from mmft_audio.espeak import Voice, synthesizer
from mmft_core import cpus
from mmft_core.utils import cached_folder, require_extra

RATE = 16_000
_JOBS = 64
_FORMAT = 1  # Of the cache; other code makes other speech.


@dataclass(frozen=True)
class Spoken:
    """What is spoken into a file.

    Attributes:
        decibels: of the speech over white noise; None for no noise.
    """

    file: str
    text: str
    voice: Voice
    decibels: float | None = None


def spoken_folder(
    name: str,
    spoken: Sequence[Spoken],
    finish: Callable[[Path], None] = lambda folder: None,
) -> Path:
    """The folder of this speech, made if it is not there.

    Args:
        name: of the data set that it is for.
        finish: writes what else belongs into the folder.

    Raises:
        MissingExtraError: espeakng-loader is not installed.
        StorageError: it cannot be written.
    """
    require_extra(f"The speech of {name}", "speech")
    version = importlib.metadata.version("espeakng-loader")

    def fill(folder: Path) -> None:
        _speak_all(spoken, folder)
        finish(folder)

    return cached_folder(name, (_FORMAT, version, list(spoken)), fill)


def _speak_all(spoken: Sequence[Spoken], folder: Path) -> None:
    for parent in {(folder / one.file).parent for one in spoken}:
        parent.mkdir(parents=True, exist_ok=True)
    processes = cpus.available()
    jobs = [(spoken[start::_JOBS], folder) for start in range(_JOBS)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.starmap(_speak, jobs, chunksize=1)


def _speak(spoken: Sequence[Spoken], folder: Path) -> None:
    speaker = synthesizer()
    for one in spoken:
        samples = resample_poly(speaker.speak(one.text, one.voice), RATE, speaker.rate)
        if one.decibels is not None:
            noise = np.random.default_rng(list(one.file.encode())).normal(0, 1, len(samples))
            samples = samples / np.sqrt(np.mean(samples**2)) * 10 ** (one.decibels / 20) + noise
            samples *= 0.5 / np.abs(samples).max()
        soundfile.write(folder / one.file, samples, RATE)
