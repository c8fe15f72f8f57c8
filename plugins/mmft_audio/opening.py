"""Opening audio files, by libsndfile or PyAV, and what is said of those that cannot be opened."""

from __future__ import annotations

import contextlib
import io
import math
import mmap
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import soundfile

from mmft_audio.media_files import MediaError, MediaFile, head_of, media_form
from mmft_audio.wholeness import data_chunk, shortfall
from mmft_core.errors import SampleError
from mmft_tables.row_files import File, missing

RATES = (4_000, 192_000)
"""Least and most samples a second."""

_LENIENT_END = 0.1
"""Seconds by which a given end may lie beyond the file's, for it was rounded."""

_UNKNOWN = 1 << 62
"""So many frames stand for a header that does not say how many."""

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


@contextlib.contextmanager
def opened(recording: Recording) -> Iterator[tuple[AudioFile, int, int]]:
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
        raise SampleError(recording.name, "it is a folder" if folder else "it is not a file")
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
        reason = f"it has {rate:,} samples per second, not {RATES[0]:,} to {RATES[1]:,}"
    elif frames >= _UNKNOWN:
        reason = "its header does not say how long it is"
    elif not frames:
        reason = "it holds no audio"
    elif not 0 <= start < (math.inf if end is None else end):
        until = "its end" if end is None else f"{end:g} s"
        reason = f"{start:g} s to {until} is not a valid part of the file"
    elif start * rate >= frames:
        reason = f"it starts at {start:g} s, but the file is {frames / rate:.2f} s long"
    elif end is not None and end > frames / rate + _LENIENT_END:
        reason = f"it ends at {end:g} s, but the file is {frames / rate:.2f} s long"
    if reason:
        raise SampleError(recording.name, reason)
    first = min(round(start * rate), frames - 1)
    return first, frames if end is None else max(first + 1, min(round(end * rate), frames))


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
        return "no permission to read it"
    if isinstance(error, OSError):
        return f"it cannot be read: {(error.strerror or str(error)).lower()}"
    if isinstance(error, soundfile.LibsndfileError):
        # It says "does not exist" of an MP3 without a single frame.
        if error.code == 1 or "does not exist" in error.error_string:
            return "it is not audio that can be decoded"
        return "it is damaged or cut short" if error.code == 3 else _plain(error.error_string)
    return _plain(str(error))


def _plain(words: str) -> str:
    return f"it cannot be decoded: {words.removeprefix('Error : ').strip().rstrip('.')}"
