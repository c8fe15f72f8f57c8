"""Log-mel spectrograms as Whisper hears them (Radford et al., 2022), and lengths in them."""

from __future__ import annotations

import torch
import torchaudio.functional as AF  # noqa: N812
from torch import Tensor, nn

RATE = 16_000
WINDOW, HOP = 400, 160
"""Samples of a Fourier transform (25 ms), and between two of them (10 ms)."""
STRIDE = 2
"""Frames of the spectrogram for each position of Whisper's encoder."""


class LogMel(nn.Module):
    """Waves (B, T) to features (B, channels, T / HOP), about -1 to 1.

    A transform that ends behind the wave sees its mirror image, so pad with silence.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        with torch.device("cpu"):  # The meta device cannot compute them.
            filters = AF.melscale_fbanks(
                WINDOW // 2 + 1, 0.0, RATE / 2, channels, RATE, norm="slaney", mel_scale="slaney"
            )
        # They follow from the configuration, so they are not kept with the weights.
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)

    @torch.no_grad()
    def forward(self, waves: Tensor) -> Tensor:
        with torch.autocast(waves.device.type, enabled=False):
            spectrum = torch.stft(waves, WINDOW, HOP, window=self.window, return_complex=True)
            power = spectrum[..., :-1].abs().square()
            mel = self.filters.T @ power
            log = mel.clamp(min=1e-10).log10()
            loudest = log.amax((1, 2), keepdim=True)
            return (torch.maximum(log, loudest - 8.0) + 4.0) / 4.0


def in_frames(lengths: Tensor) -> Tensor:
    """Lengths (B,) of recordings in frames of their spectrograms."""
    return (lengths / HOP).ceil().long()


def heard_mask(states: Tensor, lengths: Tensor) -> Tensor:
    """Which of an encoder's states (B, S, D) are of recordings so many frames long: (B, S)."""
    heard = (lengths / STRIDE).ceil().long()
    return torch.arange(states.shape[1], device=heard.device) < heard[:, None]
