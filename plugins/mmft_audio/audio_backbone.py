"""A network on spectrograms as a backbone, whatever it is made of."""

from __future__ import annotations

import torch
from torch import nn

from mmft_audio.augmentation import WaveAugmentation, masking, spec_augment
from mmft_audio.options import AudioOptions
from mmft_audio.processing import AudioProcessor
from mmft_audio.spectra import HOP, RATE, LogMel, in_frames
from mmft_core.contracts import BackboneContext, Features, ModuleBackbone, Tensors, as_features
from mmft_core.weights import LoadedWeights


class AudioBackbone(ModuleBackbone):
    """Decoding, resampling, augmentation, log-mel spectrogram and pooling around a network.

    Every recording is padded with silence to `options.window` seconds, so that what is computed
    of it does not depend on its batch; of a longer one a part is heard.
    """

    processor: AudioProcessor

    def __init__(
        self,
        body: nn.Module,
        options: AudioOptions,
        context: BackboneContext,
        *,
        channels: int = 80,
        width: int | None = None,
        loaded: LoadedWeights | None = None,
    ) -> None:
        """Args:
        body: takes log-mel spectrograms (B, channels, frames) of 100 frames a second, about -1
            to 1, and returns a sequence (B, T, D), pooled features (B, D), or `Features`.
        channels: mel bands.
        width: D; by default the body encodes silence, which tells.
        loaded: what `context.weights.load(body, published=...)` returned. By default no weights
            are published, and those are loaded that the user names.
        """
        super().__init__(body)
        self.log_mel = LogMel(channels)
        self.spec_augment = spec_augment(options)
        frames = round(options.window * RATE / HOP)
        self.processor = AudioProcessor(
            rate=RATE,
            window=frames * HOP / RATE,
            augmentation=WaveAugmentation.of(options.speed, options.noise),
            padded=frames * HOP / RATE,
        )
        silence = torch.zeros(1, channels, frames)
        self.width = self.measured_width(silence) if width is None else width
        self.loaded = loaded or context.weights.load(self.body, published=None)

    @property
    def augments(self) -> str:
        return self.processor.augments or masking(self.spec_augment is not None)

    def encode(self, inputs: Tensors) -> Features:
        """Encode {"waves": (B, T), "lengths": (B,) in samples}."""
        features, lengths = self.log_mel(inputs["waves"]), in_frames(inputs["lengths"])
        if self.training and self.spec_augment is not None:
            features = self.spec_augment(features, lengths)
        output = self.body(features)
        if not isinstance(output, torch.Tensor) or output.ndim != 3:
            return as_features(output)
        steps = output.shape[1]
        heard = (lengths * steps / features.shape[2]).ceil()
        return as_features(output, torch.arange(steps, device=heard.device) < heard[:, None])
