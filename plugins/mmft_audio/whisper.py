"""Whisper (Radford et al., 2022, "Robust Speech Recognition via Large-Scale Weak Supervision")."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import GenerationConfig, WhisperModel

from mmft_audio.augmentation import WaveAugmentation, masking, spec_augment
from mmft_audio.ctc_loss import ctc_losses
from mmft_audio.options import WhisperOptions
from mmft_audio.processing import AudioProcessor
from mmft_audio.spectra import HOP, RATE, STRIDE, LogMel, heard_mask, in_frames
from mmft_audio.transcriber import Transcriber, Transcript
from mmft_audio.whisper_attention import Heard, SourceAttention, listening
from mmft_audio.whisper_exported import ExportedWhisper
from mmft_audio.whisper_graphs import whisper_graphs
from mmft_audio.whisper_text import Prompt, WhisperCodec
from mmft_audio.whisper_words import words_of
from mmft_audio.whisper_writing import losses, write
from mmft_core.config import Generation
from mmft_core.contracts import (
    PADDING,
    AdapterBase,
    Features,
    Graph,
    Runner,
    Task,
    Tensors,
)
from mmft_transformers.generation import save_advice
from mmft_transformers.masked import masked_mean
from mmft_transformers.network import TransformersBackbone, fix_parameter
from mmft_transformers.published_models import TransformersModel

CTC_SHARE = 0.3
"""Of the loss of a network that starts from random weights."""


class WhisperBackbone(TransformersBackbone, Transcriber):
    """The pooled features are the mean of the encoder's over the recording.

    Where recordings are padded to the longest of a batch, the padding is masked: as keys of the
    encoder's attention, and of the decoder's on the encoder. What comes of a recording does not
    depend on its batch.
    """

    network: Any
    codec: WhisperCodec
    exports_times = False  # They are found in attention, which the decoder's graph keeps to itself.

    def __init__(self, network: Any, tokenizer: Any, options: WhisperOptions) -> None:
        """Args:
        network: `WhisperForConditionalGeneration`, or an encoder alone.
        tokenizer: None for an encoder alone.
        """
        super().__init__()
        self.network, self.tokenizer, self.options = network, tokenizer, options
        self.width = self.config.d_model
        self.positions: int = self.config.max_source_positions
        fix_parameter(self.encoder.embed_positions, "weight")  # Sinusoids.
        self.log_mel = LogMel(self.config.num_mel_bins)
        self.spec_augment = spec_augment(options)
        most = self.positions * STRIDE * HOP / RATE
        self.processor = AudioProcessor(
            rate=RATE,
            window=min(options.window, most),
            augmentation=WaveAugmentation.of(options.speed, options.noise),
            padded=most if options.padding == "window" else 0.0,
            # The last transforms then see silence, and not a mirror image of the recording.
            margin=0 if options.padding == "window" else 2 * STRIDE * HOP,
            multiple=STRIDE * HOP,
            limit=self.positions * STRIDE * HOP,
        )
        if tokenizer is not None:
            self._prepare_decoder(options)
            self.loaded_by = "AutoModelForSpeechSeq2Seq"

    def _prepare_decoder(self, options: WhisperOptions) -> None:
        network = self.network
        own = network.generation_config
        self.advice: GenerationConfig = own if own is not None else GenerationConfig()
        # A checkpoint's own would fill in what the settings of a task leave open.
        network.generation_config = GenerationConfig()
        self.prompt = Prompt.of(self.tokenizer, self.config, options)
        self.codec = WhisperCodec(self.tokenizer, self.config, len(self.prompt.tokens))
        for number, layer in enumerate(network.model.decoder.layers):
            layer.encoder_attn = SourceAttention(layer.encoder_attn, number)

    @property
    def encoder(self) -> Any:
        model: Any = getattr(self.network, "model", None)
        return self.network if model is None else model.encoder

    @property
    def augments(self) -> str:
        return self.processor.augments or masking(self.spec_augment is not None)

    def encode(self, inputs: Tensors) -> Features:
        """Encode {"waves": (B, T), "lengths": (B,)}."""
        lengths = in_frames(inputs["lengths"])
        features = self.log_mel(inputs["waves"])
        if self.training and self.spec_augment is not None:
            features = self.spec_augment(features, lengths)
        sequence = self.states(features, lengths)
        mask = heard_mask(sequence, lengths)
        return Features(masked_mean(sequence, mask), sequence, mask)

    def states(self, features: Tensor, lengths: Tensor) -> Tensor:
        """The encoder's states (B, S, D), which in transformers takes 30 seconds and no mask.

        Args:
            features: spectrograms (B, channels, T).
            lengths: of the recordings (B,), in frames.
        """
        encoder = self.encoder
        states = F.gelu(encoder.conv2(F.gelu(encoder.conv1(features)))).transpose(1, 2)
        # By their numbers, for in a graph a slice would set a limit to the length.
        places = torch.arange(states.shape[1], device=states.device)
        states = states + F.embedding(places, encoder.embed_positions.weight)
        states = F.dropout(states, encoder.dropout, encoder.training)
        padded = self.processor.padded
        keys = None if padded else _additive(heard_mask(states, lengths), states)
        for layer in encoder.layers:
            states = layer(states, keys)
        normed: Tensor = encoder.layer_norm(states)
        return normed

    def transcript_losses(self, features: Features, targets: Tensor) -> Tensor:
        total = losses(self, features, targets).sum(1)
        if not self.training or not self.joint:
            return total
        return (1 - CTC_SHARE) * total + CTC_SHARE * self._ctc_losses(features, targets)

    @property
    def joint(self) -> bool:
        """Whether the encoder labels each moment as well, in training (see `add_labels`)."""
        return getattr(self.network, "labels", None) is not None

    def _ctc_losses(self, features: Features, targets: Tensor) -> Tensor:
        """The losses (B,) of the encoder's labels."""
        assert features.mask is not None and features.sequence is not None
        with torch.autocast(targets.device.type, enabled=False):
            logits = self.network.labels(features.sequence.float())
        lengths = (targets != PADDING).sum(1) - 1  # The end is no word.
        return ctc_losses(logits, features.mask, targets, lengths, self.codec.pad)

    def transcribe(
        self, features: Features, settings: Generation, *, words: bool = False
    ) -> list[Transcript]:
        with torch.no_grad():
            rows = write(self, features, settings)
            texts = [self.codec.decode(row) for row in rows]
            if not words:
                return [Transcript(text) for text in texts]
            found = words_of(self, features, rows)
        return [Transcript(t, w) for t, w in zip(texts, found, strict=True)]

    def save_assets(self, folder: Path) -> None:
        super().save_assets(folder)
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(folder)
            save_advice(self.advice, folder)

    def roles(self) -> Mapping[str, Sequence[str]]:
        # transformers reads the strides of its convolutions, which adapters around them lack.
        return {r: names for r, names in super().roles().items() if r != "convolution"}

    def published_name(self, name: str) -> str:
        published = super().published_name(name)
        return published if self.encoder is not self.network else f"encoder.{published}"

    def adapter_base(self) -> AdapterBase:
        base = super().adapter_base()
        if self.encoder is not self.network:
            return base
        return replace(base, network=f"{WhisperModel.__module__}:{WhisperModel.__name__}")

    def published_model(self, task: Task) -> TransformersModel:
        from mmft_audio.published_models import whisper_model  # Which imports the tasks.

        return whisper_model(self, task)

    def graphs(self, inputs: Tensors) -> Sequence[Graph]:
        padded = bool(self.processor.padded)
        return whisper_graphs(self.network, self.states, positions=self.positions, padded=padded)

    def adopt(self, runners: Mapping[str, Runner]) -> Transcriber:
        return ExportedWhisper(self, runners)

    @contextmanager
    def hearing(
        self, features: Features, *, record: Sequence[tuple[int, int]] = ()
    ) -> Iterator[Heard]:
        """While the decoder listens to these recordings.

        Args:
            record: layers and heads whose weights of attention are kept.
        """
        heard = Heard(features, masked=not self.processor.padded, record=record)
        layers = [layer.encoder_attn for layer in self.network.model.decoder.layers]
        with listening(layers, heard):
            yield heard


def add_labels(network: Any) -> None:
    """Let the encoder of a random network label each moment with a token, for training alone.

    Without it, attention takes many times longer to find the words in a recording (Watanabe et al.,
    2017, "Hybrid CTC/Attention Architecture for End-to-End Speech Recognition").
    """
    network.labels = nn.Linear(network.config.d_model, network.config.vocab_size)
    network.config.mmft_labels = True


def _additive(mask: Tensor, like: Tensor) -> Tensor:
    """A mask of keys (B, T) as what is added to the logits (B, 1, 1, T) of attention."""
    dtype = torch.get_autocast_dtype(like.device.type) if _autocast(like) else like.dtype
    added = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    return added.masked_fill(~mask, torch.finfo(dtype).min)[:, None, None, :]


def _autocast(like: Tensor) -> bool:
    return torch.is_autocast_enabled(like.device.type)
