"""Random changes of training audio."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

import torch
import torchaudio.functional as AF  # noqa: N812
from torch import Tensor

_SPEEDS = 100
"""Speeds are multiples of a hundredth, so that resampling finds a small ratio."""

_QUIETEST, _LOUDEST = 40.0, 10.0
"""Decibels that noise lies below a recording."""


@dataclass(frozen=True)
class WaveAugmentation:
    """Changes of a waveform.

    Attributes:
        speed: largest change of speed, with the pitch, as a share (Ko et al., 2015).
        noise: share of recordings that get noise.
    """

    speed: float
    noise: float

    @classmethod
    def of(cls, speed: float, noise: float) -> WaveAugmentation | None:
        """None where nothing is to be changed."""
        return cls(speed, noise) if speed or noise else None

    def __call__(self, wave: Tensor) -> Tensor:
        """Change a waveform (T,), whose length changes with its speed."""
        if self.speed:
            widest = round(self.speed * _SPEEDS)
            percent = _SPEEDS + random.randint(-widest, widest)
            if percent != _SPEEDS:
                wave = AF.resample(wave, percent, _SPEEDS)
        if random.random() < self.noise:
            decibels = random.uniform(_LOUDEST, _QUIETEST)
            wave = AF.add_noise(
                wave, _noise(len(wave), random.uniform(0, 2)), torch.tensor(decibels)
            )
        return wave


def _noise(length: int, slope: float) -> Tensor:
    """Noise (T,) whose power falls with frequency**slope: 0 is white, 1 pink, 2 brown."""
    spectrum = torch.randn(length // 2 + 1, dtype=torch.cfloat)
    falling = torch.arange(1, len(spectrum) + 1) ** (-slope / 2)
    return torch.fft.irfft(spectrum * falling, length)


@dataclass(frozen=True)
class SpecAugment:
    """Blank bands of frequency and time in features (Park et al., 2019).

    Attributes:
        bands, widest_band: how many bands of frequency, at most how many channels each.
        spans, widest_span: how many spans of time, at most what share of the recording each.
    """

    bands: int = 2
    widest_band: int = 20
    spans: int = 2
    widest_span: float = 0.1

    def __call__(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Blank parts of features with their mean, which says nothing.

        Args:
            features: (B, channels, frames).
            lengths: (B,) frames of each recording.
        """
        count, channels, frames = features.shape
        blank = torch.zeros(count, channels, frames, dtype=torch.bool, device=features.device)
        for _ in range(self.bands):
            widths = torch.rand(count) * min(self.widest_band, channels // 4)
            blank |= _between(widths, torch.full((count,), float(channels)), channels, features)[
                :, :, None
            ]
        for _ in range(self.spans):
            widths = torch.rand(count) * self.widest_span * lengths.cpu()
            blank |= _between(widths, lengths.cpu().float(), frames, features)[:, None, :]
        return torch.where(blank, features.mean((1, 2), keepdim=True), features)


def _between(widths: Tensor, ends: Tensor, size: int, like: Tensor) -> Tensor:
    """Which of `size` places lie in a random interval of each width (B,) below each end (B,)."""
    starts = torch.rand(len(widths)) * (ends - widths)
    places = torch.arange(size)[None, :]
    inside = (places >= starts[:, None].ceil()) & (places < (starts + widths)[:, None])
    return inside.to(like.device)


def decibels(wave: Tensor) -> float:
    """The peak of a waveform below the loudest possible one; -inf for digital silence."""
    peak = float(wave.abs().max()) if len(wave) else 0.0
    return 20 * math.log10(peak) if peak else -math.inf


def masking(on: bool) -> str:
    """What it changes at random, in words; "" if it is off."""
    return "bands of time and frequency are blanked at random (backbone.spec_augment)" if on else ""


def spec_augment(options: Any) -> SpecAugment | None:
    """As the options of a backbone have it."""
    return SpecAugment() if options.spec_augment else None
