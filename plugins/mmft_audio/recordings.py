"""Audio files, whole or in part: decoded when they are needed."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import numpy as np
import soundfile
import torch
from scipy.signal import resample_poly
from torch import Tensor
from torchaudio.functional import resample

from mmft_audio import media_files
from mmft_audio.media_files import MediaError, MediaFile, head_of, media_form
from mmft_audio.opening import AudioFile, opened
from mmft_audio.opening import Recording as Recording
from mmft_core.errors import SampleError
from mmft_datasets.class_folders import FileKind
from mmft_tables.row_files import File

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", *media_files.SUFFIXES)

_BLOCK = 1 << 18
"""Frames that are decoded at a time."""

_LENIENT_MP3 = 2 * 1152
"""Samples that an MP3 may hold less than its header says: decoders differ over the first and the
last frame."""

_LARGEST_RATIO = 1000
"""Of the reduced ratio of two rates, for torchaudio."""

Samples: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]


class Segment(NamedTuple):
    """Some of a recording.

    Attributes:
        samples: (n, channels) in -1 to 1.
        rate: how many a second.
        subtype: how the file holds them, as soundfile calls it; "" if libsndfile did not read it.
    """

    samples: Samples
    rate: int
    subtype: str


def load(recording: Recording, rate: int) -> Tensor:
    """Decode a recording.

    Returns:
        (T,) float32 in -1 to 1, the mean of the channels, resampled to `rate` per second.

    Raises:
        SampleError: it is missing, no audio, empty or damaged.
    """
    with opened(recording) as (file, first, last):
        samples = np.concatenate(list(map(_mono, _decoded(recording, file, first, last, _BLOCK))))
        own = file.samplerate
    return torch.from_numpy(_resampled(samples, own, rate))


def seconds(recording: Recording) -> float:
    """How long a recording is, by its header.

    Raises:
        SampleError: it is missing or no audio.
    """
    with opened(recording) as (file, first, last):
        return float((last - first) / file.samplerate)


def check(recording: Recording) -> None:
    """Decode all of a recording, in little memory, to know that it is sound.

    Raises:
        SampleError: it is not; says what is wrong.
    """
    for _ in blocks(recording):
        pass


def is_recording(file: File) -> bool:
    """Whether a file is audio that can be opened, or could be with an extra."""
    try:
        seconds(Recording(file))
    except SampleError:
        with contextlib.suppress(OSError), _opened_here(file) as stream:
            return media_form(head_of(stream)) is not None
        return False
    return True


def _opened_here(file: File) -> BinaryIO:
    return file.open("rb") if isinstance(file, Path) else file.open()


def blocks(recording: Recording, length: float | None = None) -> Iterator[tuple[Samples, int]]:
    """Yield a recording in blocks of so many seconds: (n,), the mean of the channels, and the rate.

    Raises:
        SampleError: it cannot be read.
    """
    with opened(recording) as (file, first, last):
        count = _BLOCK if length is None else max(1, round(length * file.samplerate))
        for samples in _decoded(recording, file, first, last, count):
            yield _mono(samples), file.samplerate


def parts(recording: Recording, ends: Sequence[float]) -> Iterator[Segment]:
    """Yield a recording in parts, as the file holds it; they are decoded in one go.

    Args:
        ends: of the parts, in seconds from the start of the recording, in order; the last is the
            recording's own.

    Raises:
        SampleError: it cannot be read.
    """
    with opened(recording) as (file, first, last):
        at = first
        for number, end in enumerate(ends, start=1):
            own = last if number == len(ends) else min(last, first + round(end * file.samplerate))
            if own > at:
                whole = list(_decoded(recording, file, at, own, _BLOCK, goes_on=at > first))
                yield Segment(np.concatenate(whole), file.samplerate, getattr(file, "subtype", ""))
            at = own


def _decoded(
    recording: Recording,
    file: AudioFile,
    first: int,
    last: int,
    count: int,
    *,
    goes_on: bool = False,
) -> Iterator[Samples]:
    """Yield samples (n, channels) from one frame to another, `count` frames at a time.

    Args:
        goes_on: whether the file was just read up to the first.

    Raises:
        SampleError: it is damaged, or ends before its header says.
    """
    at = first
    while at < last:
        try:
            if at == first and not goes_on:
                file.seek(first)
            block = file.read(min(count, last - at), dtype="float32", always_2d=True)
        except MediaError as error:
            raise SampleError(recording.name, str(error)) from None
        except (soundfile.SoundFileError, OSError):
            block = np.zeros((0, 1), dtype=np.float32)
        if not len(block):
            if (at > first or goes_on) and last - at <= _lenient(file):
                return
            place = f"after {at / file.samplerate:.1f} s"
            raise SampleError(recording.name, f"it is damaged or cut short {place}")
        if not np.isfinite(block).all():
            place = f"at {at / file.samplerate:.1f} s"
            raise SampleError(recording.name, f"it holds samples that are not numbers {place}")
        yield block
        at += len(block)


def _mono(samples: Samples) -> Samples:
    """The mean (n,) of the channels (n, channels)."""
    mean: Samples = samples[:, 0] if samples.shape[1] == 1 else samples.mean(1)
    return mean


def _lenient(file: AudioFile) -> int:
    """How many frames may be missing at the end of what a file's header says."""
    if isinstance(file, MediaFile):
        return file.lenient
    return _LENIENT_MP3 if file.format == "MP3" else 0


def _resampled(samples: Samples, own: int, rate: int) -> Samples:
    """Filter and resample (n,).

    By torchaudio, as everybody does; but its kernel for rates without a common factor is as long as
    one is times the other, which is 12 s of work for 11,127 a second.
    """
    if own == rate:
        return samples
    common = math.gcd(own, rate)
    up, down = rate // common, own // common
    if max(up, down) <= _LARGEST_RATIO:
        resampled: Samples = resample(torch.from_numpy(samples), own, rate).numpy()
        return resampled
    found: Samples = resample_poly(samples, up, down)
    return found.astype(np.float32, copy=False)


RECORDINGS = FileKind("recordings", SUFFIXES, one="recording", is_one=is_recording)
