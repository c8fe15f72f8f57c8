"""Audio files, whole or in part: decoded when they are needed, by libsndfile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torchaudio.functional as AF  # noqa: N812
import soundfile
from torch import Tensor

from mmft_core.errors import SampleError

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg")


@dataclass(frozen=True, slots=True)
class Recording:
    """An audio file, or the part of it from `start` to `end`, both in seconds.

    Attributes:
        end: None for the end of the file.
        id: what messages call it: the file, or the table and its row.
    """

    path: Path
    start: float = 0.0
    end: float | None = None
    id: str = ""


def load(recording: Recording, rate: int) -> Tensor:
    """Decode a recording.

    Returns:
        (T,) float32 in -1 to 1, the mean of the channels, resampled to `rate` per second.

    Raises:
        SampleError: it is missing, no audio, empty or damaged.
    """
    with soundfile.SoundFile(recording.path) as file:
        first = round(recording.start * file.samplerate)
        last = file.frames if recording.end is None else round(recording.end * file.samplerate)
        file.seek(first)
        samples = torch.from_numpy(file.read(last - first, dtype="float32", always_2d=True))
        return AF.resample(samples.mean(1), file.samplerate, rate)


def seconds(recording: Recording) -> float:
    """How long a recording is, by its header.

    Raises:
        SampleError: it is missing or no audio.
    """
    info = soundfile.info(str(recording.path))
    whole = info.frames / info.samplerate
    return (whole if recording.end is None else recording.end) - recording.start


def check(recording: Recording) -> None:
    """Decode all of a recording, in little memory, to know that it is sound.

    Raises:
        SampleError: it is not; says what is wrong.
    """
    raise SampleError(recording.id, "not written yet")
