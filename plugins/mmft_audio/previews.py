"""Recordings as a report shows them: to be listened to, and as a spectrogram."""

from __future__ import annotations

import io

import numpy as np
import soundfile
import torch
from PIL import Image
from torch import Tensor

from mmft_audio.spectra import RATE as RATE
from mmft_audio.spectra import LogMel
from mmft_core.contracts import Preview

SECONDS = 30
"""So much of a recording is shown."""

_CHANNELS, _HEIGHT, _WIDTH = 64, 80, 480
_DARK, _MIDDLE, _BRIGHT = (13, 16, 60), (190, 55, 105), (252, 240, 180)
"""From quiet to loud, ever lighter, so that it reads without colours as well."""


def player(wave: Tensor, rate: int) -> Preview:
    """A recording (T,) as MP3, which every browser plays."""
    buffer = io.BytesIO()
    samples = wave[: SECONDS * rate].clamp(-1, 1).numpy()
    soundfile.write(buffer, samples, rate, format="MP3", compression_level=0.8)
    return Preview("audio/mpeg", buffer.getvalue())


def spectrogram(wave: Tensor, rate: int) -> Preview:
    """The mel spectrogram of a recording (T,) at Whisper's rate, low frequencies below."""
    padded = torch.nn.functional.pad(wave[: SECONDS * rate], (0, 800))
    features = LogMel(_CHANNELS)(padded[None])[0].flip(0)
    low, high = features.min(), features.max()
    share = ((features - low) / (high - low).clamp(min=1e-6)).numpy()
    stops = np.array([_DARK, _MIDDLE, _BRIGHT], dtype=np.float32)
    colours = [np.interp(share, [0.0, 0.6, 1.0], stops[:, k]) for k in range(3)]
    image = Image.fromarray(np.stack(colours, -1).astype(np.uint8))
    image = image.resize((_WIDTH, _HEIGHT), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return Preview("image/jpeg", buffer.getvalue())
