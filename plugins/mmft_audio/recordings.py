"""Audio files, whole or in part: decoded when they are needed, by libsndfile or PyAV."""

from __future__ import annotations

import contextlib
import io
import math
import mmap
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from mmft_audio.wholeness import data_chunk, shortfall
from mmft_core.data.class_folders import FileKind
from mmft_core.data.row_files import File, missing
from mmft_core.errors import SampleError

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", *media_files.SUFFIXES)

RATES = (4_000, 192_000)
"""Least and most samples a second."""

_BLOCK = 1 << 18
"""Frames that are decoded at a time."""

_LENIENT_END = 0.1
"""Seconds by which a given end may lie beyond the file's, for it was rounded."""

_LENIENT_MP3 = 2 * 1152
"""Samples that an MP3 may hold less than its header says: decoders differ over the first and the
last frame."""

_UNKNOWN = 1 << 62
"""So many frames stand for a header that does not say how many."""

_LARGEST_RATIO = 1000
"""Of the reduced ratio of two rates, for torchaudio."""

Samples: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]
AudioFile: TypeAlias = soundfile.SoundFile | MediaFile


@dataclass(frozen=True, slots=True)
class Recording:
    """An audio file, or the part of it from `start` to `end`, both in seconds.

    Attributes:
        path: of the file; or what a table holds in its place.
        end: None for the end of the file.
        id: what messages call it: the file, or the table and its row.
    """

    path: File
    start: float = 0.0
    end: float | None = None
    id: str = ""

    @property
    def name(self) -> str:
        """What messages call it, an id or not."""
        return self.id or str(self.path)


class Part(NamedTuple):
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
    with _opened(recording) as (file, first, last):
        samples = np.concatenate(list(map(_mono, _decoded(recording, file, first, last, _BLOCK))))
        own = file.samplerate
    return torch.from_numpy(_resampled(samples, own, rate))


def seconds(recording: Recording) -> float:
    """How long a recording is, by its header.

    Raises:
        SampleError: it is missing or no audio.
    """
    with _opened(recording) as (file, first, last):
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
    with _opened(recording) as (file, first, last):
        count = _BLOCK if length is None else max(1, round(length * file.samplerate))
        for samples in _decoded(recording, file, first, last, count):
            yield _mono(samples), file.samplerate


def parts(recording: Recording, ends: Sequence[float]) -> Iterator[Part]:
    """Yield a recording in parts, as the file holds it; they are decoded in one go.

    Args:
        ends: of the parts, in seconds from the start of the recording, in order; the last is the
            recording's own.

    Raises:
        SampleError: it cannot be read.
    """
    with _opened(recording) as (file, first, last):
        at = first
        for number, end in enumerate(ends, start=1):
            own = last if number == len(ends) else min(last, first + round(end * file.samplerate))
            if own > at:
                whole = list(_decoded(recording, file, at, own, _BLOCK, goes_on=at > first))
                yield Part(np.concatenate(whole), file.samplerate, getattr(file, "subtype", ""))
            at = own


@contextlib.contextmanager
def _opened(recording: Recording) -> Iterator[tuple[AudioFile, int, int]]:
    """Open the file; yield it, with the first frame of the recording and the one after its last.

    Raises:
        SampleError: it is missing, no audio or without any.
    """
    with contextlib.ExitStack() as stack:
        with _explained(recording):
            stream = stack.enter_context(_stream(recording))
            if not stream.seek(0, os.SEEK_END):
                raise SampleError(recording.name, "the file is empty")
            # Of a part it is enough that it is there.
            missing = shortfall(stream) if recording.end is None else None
            if missing:
                raise SampleError(recording.name, missing)
            form = media_form(head_of(stream))
            if form is not None:
                file = stack.enter_context(MediaFile(stream, form))
            else:
                file = _sound_file(stream, stack)
        yield file, *_span(recording, file)


def _sound_file(stream: BinaryIO, stack: contextlib.ExitStack) -> soundfile.SoundFile:
    """Open what libsndfile reads."""
    held = isinstance(stream, io.BytesIO)
    source = stream if held else stream.fileno()
    file = stack.enter_context(soundfile.SoundFile(source, closefd=False))
    if not file.frames and file.format.startswith("WAV"):
        file = _of_a_stream(stream, file, stack)
    return file


def _stream(recording: Recording) -> BinaryIO:
    """Open the file here, for the system's reasons and for names that are not UTF-8."""
    if not isinstance(recording.path, Path):
        return recording.path.open()
    status = recording.path.stat()
    if not stat.S_ISREG(status.st_mode):  # A pipe would wait for ever.
        folder = stat.S_ISDIR(status.st_mode)
        raise SampleError(recording.name, "is a folder" if folder else "is not a file")
    # Without a buffer, so that libsndfile finds the descriptor where the stream is.
    return recording.path.open("rb", buffering=0)


def _of_a_stream(
    stream: BinaryIO, file: soundfile.SoundFile, stack: contextlib.ExitStack
) -> soundfile.SoundFile:
    """A WAV whose header says 0 for its size, as of a stream: all that follows is audio."""
    chunk = data_chunk(stream)
    if chunk is None or chunk.size is not None or chunk.start >= stream.seek(0, os.SEEK_END):
        return file
    if isinstance(stream, io.BytesIO):
        header: Any = stream.getbuffer()
    else:
        header = stack.enter_context(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY))
    header[4:8] = header[chunk.size_at : chunk.size_at + 4] = b"\xff" * 4
    if isinstance(stream, io.BytesIO):
        header.release()
    whole = stream if isinstance(stream, io.BytesIO) else header
    whole.seek(0)
    return stack.enter_context(soundfile.SoundFile(whole))


def _span(recording: Recording, file: AudioFile) -> tuple[int, int]:
    """First frame and end of a recording.

    Raises:
        SampleError: the file does not hold it.
    """
    rate, frames = file.samplerate, file.frames
    start, end = recording.start, recording.end
    reason = None
    if not RATES[0] <= rate <= RATES[1]:
        reason = f"has {rate:,} samples a second, not {RATES[0]:,} to {RATES[1]:,}"
    elif frames >= _UNKNOWN:
        reason = "its header does not say how long it is"
    elif not frames:
        reason = "holds no audio"
    elif not 0 <= start < (math.inf if end is None else end):
        reason = f"from {start:g} s to {'its end' if end is None else f'{end:g} s'} is no part"
    elif start * rate >= frames:
        reason = f"starts at {start:g} s of a file of {frames / rate:.2f} s"
    elif end is not None and end > frames / rate + _LENIENT_END:
        reason = f"ends at {end:g} s of a file of {frames / rate:.2f} s"
    if reason:
        raise SampleError(recording.name, reason)
    first = min(round(start * rate), frames - 1)
    return first, frames if end is None else max(first + 1, min(round(end * rate), frames))


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
            raise SampleError(recording.name, f"is damaged or cut short {place}")
        if not np.isfinite(block).all():
            place = f"at {at / file.samplerate:.1f} s"
            raise SampleError(recording.name, f"holds samples that are no numbers {place}")
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


@contextlib.contextmanager
def _explained(recording: Recording) -> Iterator[None]:
    """Turn what goes wrong in opening a file into a SampleError that says it plainly."""
    try:
        yield
    except (OSError, ValueError, TypeError, soundfile.SoundFileError) as error:
        raise SampleError(recording.name, _reason(recording, error)) from None


def _reason(recording: Recording, error: Exception) -> str:
    if isinstance(error, MediaError):
        return str(error)
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return missing(Path(str(recording.path)))
    if isinstance(error, PermissionError):
        return "may not be read"
    if isinstance(error, OSError):
        return f"cannot be read: {(error.strerror or str(error)).lower()}"
    if isinstance(error, soundfile.LibsndfileError):
        # It says "does not exist" of an MP3 without a single frame.
        if error.code == 1 or "does not exist" in error.error_string:
            return "is not audio that can be decoded"
        return "is damaged or cut short" if error.code == 3 else _plain(error.error_string)
    return _plain(str(error))


def _plain(words: str) -> str:
    return f"cannot be decoded: {words.removeprefix('Error : ').strip().rstrip('.')}"


RECORDINGS = FileKind("recordings", SUFFIXES, one="recording", is_one=is_recording)
