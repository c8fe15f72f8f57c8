"""What `mmft data check` learns of a recording."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmft_audio import previews
from mmft_audio.recordings import Recording, blocks, seconds
from mmft_core.contracts import Bytes, Cutter, Cutting, Floats, Inspector, Preview, Traits
from mmft_data_check.profiles import correlation

_BLOCK = 10.0
"""Seconds that are decoded at a time, so that hours of audio take little memory."""

_BANDS, _TIMES = 16, 32
_WINDOW = 512
_RANGE = 9.2
"""How far below the loudest a sound counts, as a logarithm of power: 40 dB, more than codecs leave
out."""
_SILENT = 10 ** (-60 / 20)
"""Root mean square below which nothing is heard: 60 dB below full scale."""

_FULL, _RUN, _CLIPPED = 0.999, 3, 0.001
"""Samples at full scale, so many in a row, and their share from which on a recording is clipped."""


class AudioInspector(Inspector):
    """Compares spectrograms of 16 bands by 32 moments, which are found by their rising edges."""

    unit = "seconds"
    least_long = 30.0
    alike = 0.99
    cuts = True

    def inspect(self, raw: Recording) -> Traits:
        digest, power = hashlib.blake2b(digest_size=16), []
        energy, clipped, count = 0.0, 0, 0
        for samples, rate in blocks(raw, _BLOCK):
            digest.update(np.ascontiguousarray(samples).tobytes())
            energy += float(np.square(samples, dtype=np.float64).sum())
            clipped += _at_full_scale(samples)
            count += len(samples)
            power.append(_spectra(samples, rate))
        spectrum = np.concatenate(power)
        silent = energy / max(1, count) < _SILENT**2
        faults = {"silent": "holds nothing but silence"} if silent else {}
        if clipped > _CLIPPED * count:
            share = clipped / count
            faults["clipped"] = f"is clipped: {share:.1%} of its samples are at full scale"
        picture = _picture(spectrum)
        return Traits(
            digest=digest.digest(),
            bands=() if silent else _bands(picture),
            profile=picture.reshape(-1),
            features=_summary(spectrum),
            size=seconds(raw),
            faults=faults,
        )

    def similarity(self, one: Bytes, others: Bytes) -> Floats:
        """The correlation of the spectrograms."""
        return correlation(one, others)

    def cells(self, raw: Recording) -> Mapping[str, str]:
        if not isinstance(raw.path, Path):
            return {}
        cells = {"audio": str(raw.path)}
        if raw.start or raw.end is not None:
            cells["start"] = f"{raw.start:g}"
            cells["end"] = "" if raw.end is None else f"{raw.end:g}"
        return cells

    def cutter(self, cutting: Cutting) -> Cutter:
        from mmft_audio.cutting import AudioCutter  # Which needs transformers.

        return AudioCutter.of(cutting)

    def preview(self, raw: Recording) -> Preview:
        from mmft_audio.recordings import load

        return previews.player(load(raw, previews.RATE), previews.RATE)


def _at_full_scale(samples: NDArray[np.float32]) -> int:
    """How many samples stand in runs at full scale; a single peak there is none."""
    full = np.abs(samples) >= _FULL
    runs = full.copy()
    for step in range(1, _RUN):
        runs[: len(full) - step] &= full[step:]
    return int(runs[: max(0, len(full) - _RUN + 1)].sum())


def _spectra(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Log power (frames, 16) in bands that widen with frequency, 40 frames a second."""
    hop = max(1, rate // 40)
    padded = np.pad(samples, (0, max(0, _WINDOW - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::hop]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(_WINDOW), axis=1)))
    # Up to 4 kHz, whatever the rate, so that a resampled copy looks the same.
    highest = min(power.shape[1], int(4000 / rate * _WINDOW) + 1)
    edges = np.unique(np.geomspace(1, highest, _BANDS + 1).astype(int))
    edges = np.interp(np.linspace(0, 1, _BANDS + 1), np.linspace(0, 1, len(edges)), edges)
    places = edges.astype(int)
    bands = [power[:, a : max(a + 1, b)].mean(1) for a, b in pairwise(places)]
    return np.log(np.stack(bands, axis=1) + 1e-8).astype(np.float32)


def _picture(spectrum: NDArray[np.float32]) -> Bytes:
    """The spectrogram at 32 moments (32, 16), of whatever loudness: 255 is the loudest."""
    cuts = np.linspace(0, len(spectrum), _TIMES + 1)
    rows = [spectrum[int(a) : max(int(a) + 1, int(b))].mean(0) for a, b in pairwise(cuts)]
    levels = np.stack(rows)
    levels -= levels.max()
    scaled = (1 + levels.clip(min=-_RANGE) / _RANGE) * 255
    found: Bytes = scaled.astype(np.uint8)
    return found


def _bands(picture: Bytes) -> list[int]:
    """64 bits, where one of 8 bands rises between 9 moments, in four parts."""
    moments = np.linspace(0, _TIMES - 1, 9).astype(int)
    small = picture[moments][:, ::2].astype(np.int16)
    bits = np.packbits(small[1:] > small[:-1])
    return [int(part) for part in bits.view(np.uint16)]


def _summary(spectrum: NDArray[np.float32]) -> Floats:
    """Mean and spread of each band, and their course in four parts (96,)."""
    quarters = [q.mean(0) if len(q) else spectrum.mean(0) for q in np.array_split(spectrum, 4)]
    found: Floats = np.concatenate([spectrum.mean(0), spectrum.std(0), *quarters])
    return found
