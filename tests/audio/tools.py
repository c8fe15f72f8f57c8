"""Audio files of all kinds, sound and broken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.audio.networks import sound


def write(path: Path, seconds: float = 0.5, rate: int = 16_000, channels: int = 1, **more) -> Path:
    """Write a recording; `more` goes to soundfile, as subtype="PCM_24"."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = sound(seconds, len(path.name), rate)
    soundfile.write(path, np.stack([samples] * channels, 1), rate, **more)
    return path


def write_media(
    path: Path,
    tracks: Sequence[np.ndarray[Any, Any]],
    rate: int = 48_000,
    *,
    codec: str = "aac",
    form: str | None = None,
    picture: float = 0.0,
    start: float = 0.0,
    default: int | None = None,
    **options: str,
) -> Path:
    """Write sound tracks (n,) or (n, channels) by PyAV; skips the test where it is missing.

    Args:
        form: of the container, where the suffix does not say.
        picture: seconds of a picture beside them.
        start: second at which they start.
        default: which of them is marked as the default.
        options: of the container.
    """
    av = pytest.importorskip("av")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=form, options=options) as container:
        if picture:
            video = container.add_stream("mpeg4" if path.suffix != ".webm" else "libvpx", rate=10)
            video.width = video.height = 32
            video.pix_fmt = "yuv420p"
        streams = []
        for number, samples in enumerate(tracks):
            layout = "stereo" if samples.ndim == 2 else "mono"
            streams.append(container.add_stream(codec, rate=rate, layout=layout))
            if default is not None:
                flag = av.stream.Disposition.default if number == default else 0
                streams[-1].disposition = av.stream.Disposition(flag)
        for number in range(round(picture * 10)):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number % 255, np.uint8))
            frame.pts = number
            container.mux(video.encode(frame))
        if picture:
            container.mux(video.encode(None))
        for stream, samples in zip(streams, tracks, strict=True):
            planes = np.ascontiguousarray(np.atleast_2d(samples.T).astype(np.float32))
            frame = av.AudioFrame.from_ndarray(planes, "fltp", layout=stream.layout.name)
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = round(start * rate)
            resampler = av.AudioResampler(
                format=stream.format, layout=stream.layout, rate=rate, frame_size=stream.frame_size
            )
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                container.mux(stream.encode(part))
            container.mux(stream.encode(None))
    return path


def truncated(path: Path) -> None:
    write(path, 2.0)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def silent(path: Path) -> None:
    soundfile.write(path, np.zeros(8000, dtype="float32"), 16_000)


def without_samples(path: Path) -> None:
    soundfile.write(path, np.zeros(0, dtype="float32"), 16_000)


BROKEN: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "truncated wav": ("a.wav", truncated, "is cut short"),
    "truncated flac": ("a.flac", truncated, "cut short"),
    "truncated ogg": ("a.ogg", truncated, "is cut short"),
    "truncated mp3": ("a.mp3", truncated, "cut short"),
    "zero bytes": ("a.wav", lambda p: p.write_bytes(b""), "the file is empty"),
    "no samples": ("a.wav", without_samples, "holds no audio"),
    "text": ("a.wav", lambda p: p.write_text("not a sound " * 100), "is not audio"),
    "missing": ("a.wav", lambda p: None, "there is no such file"),
    "a folder": ("a.wav", lambda p: p.mkdir(), "is a folder"),
    "an absurd rate": ("a.wav", lambda p: write(p, 1.0, 1000), "1,000 samples per second"),
}
"""By what is wrong: a file's name, what makes it, and what is said of it."""
