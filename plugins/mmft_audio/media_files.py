"""Recordings in containers that libsndfile does not read, by PyAV: M4A, AAC, soundtracks of videos.

The content says which of three demuxers reads a file. FFmpeg does not choose by itself, because
others of its demuxers (playlists, lists of files) open further files and addresses. It gets an open
stream, may use no protocol, and decodes with the listed decoders alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from mmft_core.utils import unread_without

SUFFIXES = (
    ".m4a", ".m4b", ".aac", ".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".mkv", ".mka", ".webm",
)  # fmt: skip

_NAMES = {"mov": "MP4", "matroska": "Matroska or WebM", "aac": "AAC"}

_DECODERS = (
    "aac", "aac_latm", "ac3", "alac", "amrnb", "amrwb", "eac3", "flac", "libopus", "mp2",
    "mp2float", "mp3", "mp3float", "opus", "pcm_alaw", "pcm_f32be", "pcm_f32le", "pcm_f64le",
    "pcm_mulaw", "pcm_s16be", "pcm_s16le", "pcm_s24be", "pcm_s24le", "pcm_s32be", "pcm_s32le",
    "pcm_u8", "vorbis",
)  # fmt: skip

_IMAGE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1")
_ATOMS = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
"""How QuickTime files begin that do not say their type."""

_WARM_UP = 0.25
"""Seconds that are decoded before a part, as decoders need what came before."""

_GAP = 0.1
"""Seconds from which on a jump in the times of packets is silence, and no rounding."""

_LONGEST_GAP = 3600.0
"""Seconds of silence that are filled in, so that a small file does not become years of it."""

_ROUNDED = 0.25
"""Seconds that a header may promise too much: Matroska counts the encoder's delay in."""

Samples = npt.NDArray[np.float32]


class MediaError(ValueError):
    """A file cannot be read; its text is the reason for a SampleError."""


def media_form(head: bytes) -> str | None:
    """The demuxer for a file that begins so; None for a file that libsndfile may read."""
    if head[4:8] == b"ftyp":
        return None if any(brand in head[8:64] for brand in _IMAGE_BRANDS) else "mov"
    if head[4:8] in _ATOMS:
        return "mov"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    # Of MPEG audio AAC alone has 0 for its layer.
    return "aac" if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0 else None


def head_of(stream: BinaryIO) -> bytes:
    """The first bytes of a file, behind an ID3 tag if there is one."""
    stream.seek(0)
    head = stream.read(64)
    if head[:3] == b"ID3" and len(head) >= 10:
        size = 0
        for byte in head[6:10]:
            size = size << 7 | byte & 0x7F
        stream.seek(10 + size)
        head = stream.read(64)
    stream.seek(0)
    return head


class MediaFile:
    """A file's default sound track, or else its first, read as a `soundfile.SoundFile` is.

    Time starts where the file's does: a track that begins later, or has a gap, is silent there.

    Attributes:
        samplerate: samples a second.
        frames: how many there are, as the header says; counted where it does not say.
        lenient: how many of them may be missing at the end.
    """

    format = "MEDIA"

    def __init__(self, stream: BinaryIO, form: str) -> None:
        """Args:
        form: as `media_form` says.

        Raises:
            MediaError: it cannot be read.
        """
        self._av, self._stream, self._form = _library(form), stream, form
        self._container = self._opened()
        try:
            self._track = self._chosen()
            self.samplerate = int(self._track.codec_context.sample_rate or 0)
            self._start = (self._container.start_time or 0) / 1_000_000
            self._length = self._promised()
            if self._length is None:
                self._length = self._counted()
                self._reopen()
        except BaseException:
            self._container.close()
            raise
        self.frames = round(self._length * self.samplerate)
        self.lenient = 0
        self._begun = False  # Whether it was read or sought in.
        self._held, self._source = np.zeros((0, 1), np.float32), self._arrays(0)

    def __enter__(self) -> MediaFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._source.close()
        self._container.close()

    def seek(self, frame: int) -> None:
        """Go on reading from a frame."""
        self._source.close()
        self._held = self._held[:0]
        before = frame / self.samplerate - _WARM_UP
        # Raw AAC has no times, and is read from its start.
        if before > 0 and self._form != "aac":
            micros = int((self._start + before) * 1_000_000)
            self._container.seek(micros, backward=True)
            self._begun = True
        elif self._begun:
            self._reopen()
        self._source = self._arrays(frame)

    def read(self, frames: int, **_: Any) -> Samples:
        """Up to so many frames (n, channels); fewer at the end or where the file is damaged."""
        held, count = [self._held] if len(self._held) else [], len(self._held)
        while count < frames and (more := next(self._source, None)) is not None:
            if held and more.shape[1] != held[0].shape[1]:
                raise MediaError("it changes its number of channels")
            held.append(more)
            count += len(more)
        whole = np.concatenate(held) if held else self._held
        self._held = whole[frames:]
        return whole[:frames]

    def _opened(self) -> Any:
        self._stream.seek(0)
        options = {"protocol_whitelist": "none", "codec_whitelist": ",".join(_DECODERS)}
        try:
            return self._av.open(self._stream, format=self._form, container_options=options)
        except (self._av.FFmpegError, ValueError):
            raise MediaError(f"it is {_NAMES[self._form]} that is damaged or cut short") from None

    def _reopen(self) -> None:
        """Start again at the beginning of the stream, wherever that was left."""
        self._container.close()
        self._container = self._opened()
        self._track = self._chosen()

    def _chosen(self) -> Any:
        tracks = list(self._container.streams.audio)
        if not tracks:
            raise MediaError("it holds no sound")
        default = self._av.stream.Disposition.default
        track = next((t for t in tracks if t.disposition & default), tracks[0])
        context = track.codec_context
        if context is None or context.codec.name not in _DECODERS:
            name = "" if context is None else f": {context.codec.name}"
            raise MediaError(f"it uses an unsupported audio codec{name}")
        return track

    def _promised(self) -> float | None:
        """The seconds of the track, as the header says; None if it does not."""
        track, container = self._track, self._container
        if self._form == "aac":  # FFmpeg guesses it by the size of the file.
            return None
        offset = 0.0
        if track.start_time is not None:
            offset = max(0.0, float(track.start_time * track.time_base) - self._start)
        if track.duration:
            return offset + float(track.duration * track.time_base)
        told = _clock(track.metadata.get("DURATION", ""))
        if told is not None:
            return told
        return container.duration / 1_000_000 if container.duration else None

    def _counted(self) -> float:
        """The seconds of the track by its packets, where the header does not say."""
        with self._opened() as container:
            packets = container.demux(container.streams[self._track.index])
            end, passed = 0.0, 0.0
            try:
                for packet in packets:
                    length = float((packet.duration or 0) * packet.time_base)
                    passed += length
                    if packet.pts is not None and self._form != "aac":
                        at = float(packet.pts * packet.time_base) - self._start
                        end = max(end, at + length)
            except self._av.FFmpegError:
                raise MediaError("it is damaged or cut short") from None
        return end or passed

    def _arrays(self, first: int) -> Iterator[Samples]:
        """Yield the track from a frame on, (n, channels) at a time, up to where it ends."""
        at: int | None = 0 if self._form == "aac" else None
        reached, self._begun = 0.0, True
        try:
            for packet in self._container.demux():
                if packet.pts is not None:
                    end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                    reached = max(reached, end - self._start)
                if packet.stream_index != self._track.index:
                    continue
                for frame in packet.decode():
                    if frame.sample_rate != self.samplerate:
                        raise MediaError("it changes its rate")
                    samples = _floats(frame)
                    start = self._place(frame, at)
                    gap = start - max(first, at or 0)
                    if gap > _LONGEST_GAP * self.samplerate:
                        raise MediaError(f"it has no sound for {gap / self.samplerate:,.0f} s")
                    if gap > 0:
                        yield from _silence(gap, samples.shape[1])
                    at = start + len(samples)
                    if at > first:
                        yield samples[max(0, first - start) :]
        except self._av.FFmpegError:
            return  # What is missing shows where it ends.
        self.lenient = round(_ROUNDED * self.samplerate) if self._form != "mov" else 2 * 2048
        whole = self._container.duration
        if self._form == "matroska" and whole and reached >= whole / 1_000_000 - _ROUNDED:
            self.lenient = self.frames  # The picture goes on, and the header says its length alone.

    def _place(self, frame: Any, at: int | None) -> int:
        """Where a frame of sound starts, given where the one before it ended."""
        if self._form == "aac" or frame.pts is None:
            return at or 0
        seconds = float(frame.pts * frame.time_base) - self._start
        place = max(0, round(seconds * self.samplerate))
        if at is None:
            return place
        return place if place - at > _GAP * self.samplerate else at


def _library(form: str) -> Any:
    try:
        import av
    except ImportError:
        raise MediaError(unread_without(_NAMES[form], "av")) from None
    return av


def _floats(frame: Any) -> Samples:
    """A frame of sound as (n, channels) in -1 to 1."""
    given = frame.to_ndarray()
    channels = len(frame.layout.channels)
    if not frame.format.is_planar:
        given = given.reshape(-1, channels).T
    samples = given.T
    if np.issubdtype(samples.dtype, np.floating):
        return samples.astype(np.float32)
    middle = 1 << (8 * samples.dtype.itemsize - 1)
    centred = samples.astype(np.float64) - (middle if samples.dtype.kind == "u" else 0)
    return (centred / middle).astype(np.float32)


def _silence(frames: int, channels: int) -> Iterator[Samples]:
    """So many frames of silence, a block at a time."""
    for start in range(0, frames, 1 << 16):
        yield np.zeros((min(frames - start, 1 << 16), channels), np.float32)


def _clock(text: str) -> float | None:
    """The seconds of "01:02:03.5"; None if it is none."""
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None
