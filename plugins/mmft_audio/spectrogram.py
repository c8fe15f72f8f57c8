"""Audio Spectrogram Transformers (Gong et al., 2021): an image network on a spectrogram."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from mmft_transformers.checkpoints import (
    Checkpoint,
    fill_from_run,
    find_checkpoint,
    load_network,
    make_network,
)
from mmft_transformers.network import TransformersBackbone
from mmft_transformers.sizes import SIZES, resized
from torch import Tensor, nn
from torchaudio.compliance.kaldi import fbank
from transformers import ASTConfig, AutoModel

from mmft_audio.augmentation import WaveAugmentation, spec_augment
from mmft_audio.options import SpectrogramOptions
from mmft_audio.processing import AudioProcessor
from mmft_audio.recordings import Recording
from mmft_core.contracts import BackboneContext, Features, Tensors
from mmft_core.errors import WeightsError
from mmft_core.weights import LoadedWeights

RATE = 16_000
_MEAN, _STD = -4.2677393, 4.5689974
"""Of the filter banks of AudioSet, by which the published network was trained."""


@dataclass(frozen=True)
class SpectrogramProcessor(AudioProcessor):
    """Recordings as {"features": (B, frames, channels), "lengths": (B,) in frames}."""

    frames: int = 1024
    channels: int = 128

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
        return {"features": (padded - _MEAN) / (2 * _STD), "lengths": torch.tensor(len(banks))}

    def collate(self, items: list[Tensors]) -> Tensors:  # type: ignore[override]
        return {name: torch.stack([item[name] for item in items]) for name in items[0]}


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
            augmentation=WaveAugmentation(options.speed, options.noise),
            frames=frames,
            channels=self.config.num_mel_bins,
        )

    def encode(self, inputs: Tensors) -> Features:
        """Encode {"features": (B, frames, channels), "lengths": (B,)}."""
        features: Tensor = inputs["features"]
        if self.training and self.spec_augment is not None:
            features = self.spec_augment(features.transpose(1, 2), inputs["lengths"])
            features = features.transpose(1, 2)
        output = self.network(features)
        return Features(output.pooler_output, output.last_hidden_state)


def build_ast_base(options: SpectrogramOptions, context: BackboneContext) -> SpectrogramBackbone:
    """Build the backbone.

    Raises:
        WeightsError: the weights that were asked for cannot be had.
    """
    if context.weights.choice == "run" and context.assets is not None:
        network = make_network(AutoModel, Checkpoint(context.assets).config())
        return _with(network, options, LoadedWeights(source="run"))
    hub_id = "MIT/ast-finetuned-audioset-10-10-0.4593"
    checkpoint, loaded = find_checkpoint(context, hub_id, tokenizer=False)
    if checkpoint is None:
        return _random(options, loaded)
    config = checkpoint.config()
    if config.model_type != "audio-spectrogram-transformer":
        raise WeightsError(
            f"{checkpoint.folder} holds a network of type {config.model_type}, "
            "not an audio spectrogram transformer."
        )
    if checkpoint.run is not None:
        backbone = _with(make_network(AutoModel, config), options, loaded)
        fill_from_run(backbone, checkpoint.run, context.weights.modality)
        return backbone
    return _with(load_network(AutoModel, checkpoint, config), options, loaded)


def _random(options: SpectrogramOptions, loaded: LoadedWeights) -> SpectrogramBackbone:
    config = ASTConfig()
    size = options.random_size if options.size == "auto" else options.size
    if size != "published":
        config = resized(config, SIZES[size])
        remark = f"A {size} transformer ({SIZES[size].layers} layers, width {SIZES[size].width})"
        remark += " is trained in its place." if loaded.fell_back else " is trained."
        loaded = replace(loaded, detail=f"{loaded.detail} {remark}".strip())
    return _with(make_network(AutoModel, config), options, loaded)


def _with(
    network: nn.Module, options: SpectrogramOptions, loaded: LoadedWeights
) -> SpectrogramBackbone:
    backbone = SpectrogramBackbone(network, options)
    backbone.loaded = loaded
    return backbone
