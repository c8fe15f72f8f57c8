"""Audio Spectrogram Transformers (Gong et al., 2021): an image network on a spectrogram."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchaudio.compliance.kaldi import fbank
from transformers import ASTConfig, AutoModel

from mmft_audio.augmentation import WaveAugmentation, masking, spec_augment
from mmft_audio.options import SpectrogramOptions
from mmft_audio.processing import AudioProcessor
from mmft_audio.recordings import Recording
from mmft_core.contracts import Axes, BackboneContext, Features, Task, Tensors
from mmft_core.errors import WeightsError
from mmft_core.weights import LoadedWeights
from mmft_transformers.building import Builder
from mmft_transformers.checkpoints import Checkpoint, load_network, make_network
from mmft_transformers.network import TransformersBackbone
from mmft_transformers.published_models import TransformersModel
from mmft_transformers.sizes import chosen_size

RATE = 16_000
_MEAN, _STD = -4.2677393, 4.5689974
"""Of the filter banks of AudioSet, by which the published network was trained; a checkpoint may
name others."""


@dataclass(frozen=True)
class SpectrogramProcessor(AudioProcessor):
    """Recordings as {"features": (B, frames, channels), "lengths": (B,) in frames}."""

    frames: int = 1024
    channels: int = 128
    mean: float = _MEAN
    std: float = _STD

    def prepare(self, raw: Recording, *, train: bool) -> Tensors:
        wave = super().prepare(raw, train=train)["waves"]
        banks = fbank(
            wave[None],
            htk_compat=True,
            sample_frequency=self.rate,
            use_energy=False,
            window_type="hanning",
            num_mel_bins=self.channels,
            dither=0.0,
            frame_shift=10,
        )[: self.frames]
        padded = nn.functional.pad(banks, (0, 0, 0, self.frames - len(banks)))
        return {
            "features": (padded - self.mean) / (2 * self.std),
            "lengths": torch.tensor(len(banks)),
        }

    def collate(self, items: list[Tensors]) -> Tensors:  # type: ignore[override]
        return {name: torch.stack([item[name] for item in items]) for name in items[0]}

    def axes(self) -> Axes:
        return {}

    def manifest(self) -> Mapping[str, Any]:
        return {
            "tensors": {
                "features": "(batch, frames, channels)",
                "lengths": "in frames",
            },
            "rate": self.rate,
            "features": "Kaldi's log-mel filter banks: windows of 25 ms (Hanning) every 10 ms, no "
            "dither, no energy, htk_compat",
            "channels": self.channels,
            "frames": f"{self.frames}; shorter ones are padded with zeros",
            "normalization": {"subtract": self.mean, "divide": 2 * self.std},
        }


class SpectrogramBackbone(TransformersBackbone):
    """The pooled features are those of the two tokens that stand for the whole recording."""

    def __init__(self, network: nn.Module, options: SpectrogramOptions) -> None:
        super().__init__()
        self.network = network
        self.width = self.config.hidden_size
        self.spec_augment = spec_augment(options)
        frames = self.config.max_length
        self.processor = SpectrogramProcessor(
            rate=RATE,
            window=(frames * 160 + 240) / RATE,
            augmentation=WaveAugmentation.of(options.speed, options.noise),
            frames=frames,
            channels=self.config.num_mel_bins,
            mean=getattr(self.config, "mmft_mean", _MEAN),
            std=getattr(self.config, "mmft_std", _STD),
        )

    @property
    def augments(self) -> str:
        return self.processor.augments or masking(self.spec_augment is not None)

    def encode(self, inputs: Tensors) -> Features:
        """Encode {"features": (B, frames, channels), "lengths": (B,)}."""
        features: Tensor = inputs["features"]
        if self.training and self.spec_augment is not None:
            features = self.spec_augment(features.transpose(1, 2), inputs["lengths"])
            features = features.transpose(1, 2)
        output = self.network(features)
        return Features(output.pooler_output, output.last_hidden_state)

    def published_model(self, task: Task) -> TransformersModel:
        from mmft_audio.published_models import spectrogram_model  # Which imports the tasks.

        return spectrogram_model(self, task)


@dataclass(frozen=True)
class SpectrogramBuilder(Builder[SpectrogramBackbone]):
    """How a spectrogram transformer is built."""

    options: SpectrogramOptions

    tokenizer = False

    def check(self, checkpoint: Checkpoint) -> None:
        kind = checkpoint.config().model_type
        if kind != "audio-spectrogram-transformer":
            raise WeightsError(
                f"{checkpoint.folder} holds a network of type {kind}, "
                "not an audio spectrogram transformer."
            )

    def empty(self, checkpoint: Checkpoint) -> SpectrogramBackbone:
        return SpectrogramBackbone(make_network(AutoModel, checkpoint.config()), self.options)

    def filled(
        self, checkpoint: Checkpoint, loaded: LoadedWeights
    ) -> tuple[SpectrogramBackbone, LoadedWeights]:
        network: Any = load_network(AutoModel, checkpoint, checkpoint.config())
        told = checkpoint.preprocessing()
        if told.get("do_normalize", True):
            # Kept with the network's other facts.
            network.config.mmft_mean = told.get("mean", _MEAN)
            network.config.mmft_std = told.get("std", _STD)
        else:
            network.config.mmft_mean, network.config.mmft_std = 0.0, 0.5
        return SpectrogramBackbone(network, self.options), loaded

    def random(self, loaded: LoadedWeights) -> tuple[SpectrogramBackbone, LoadedWeights]:
        called = "transformer ({layers} layers, width {width})"
        config, loaded = chosen_size(ASTConfig(), self.options, loaded, called)
        return SpectrogramBackbone(make_network(AutoModel, config), self.options), loaded


def build_ast_base(options: SpectrogramOptions, context: BackboneContext) -> SpectrogramBackbone:
    """Build the backbone.

    Raises:
        WeightsError: the weights that were asked for cannot be had.
    """
    hub_id = "MIT/ast-finetuned-audioset-10-10-0.4593"
    return SpectrogramBuilder(hub_id, options, context).build()
