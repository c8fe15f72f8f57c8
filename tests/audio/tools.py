"""Audio files of all kinds, sound and broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from tests.audio.networks import sound


def write(path: Path, seconds: float = 0.5, rate: int = 16_000, channels: int = 1, **more) -> Path:
    """Write a recording; `more` goes to soundfile, as subtype="PCM_24"."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = sound(seconds, len(path.name), rate)
    soundfile.write(path, np.stack([samples] * channels, 1), rate, **more)
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
    "an absurd rate": ("a.wav", lambda p: write(p, 1.0, 1000), "1,000 samples a second"),
}
"""By what is wrong: a file's name, what makes it, and what is said of it."""
