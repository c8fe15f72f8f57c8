"""Whisper networks: published, from a folder, or random with a tokenizer of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

from mmft_audio.options import WhisperOptions
from mmft_audio.transcripts import transcripts, writes
from mmft_audio.whisper import WhisperBackbone, add_labels
from mmft_audio.whisper_language import hear_language
from mmft_core.contracts import BackboneContext
from mmft_core.errors import WeightsError
from mmft_core.weights import LoadedWeights
from mmft_transformers.building import Builder
from mmft_transformers.checkpoints import Checkpoint, load_network
from mmft_transformers.generation import read_advice
from mmft_transformers.quiet import quietly
from mmft_transformers.sizes import chosen_size
from mmft_transformers.tokenizers import train

Build: TypeAlias = Callable[[WhisperOptions, BackboneContext], WhisperBackbone]


@dataclass(frozen=True)
class WhisperBuilder(Builder[WhisperBackbone]):
    """How a Whisper is built, with its decoder where the task needs transcripts.

    Attributes:
        published: the architecture of the name, for random weights.
    """

    options: WhisperOptions
    published: WhisperConfig

    def check(self, checkpoint: Checkpoint) -> None:
        kind = checkpoint.config().model_type
        if kind != "whisper":
            raise WeightsError(
                f"{checkpoint.folder} holds a network of type {kind}, not a Whisper."
            )

    def empty(self, checkpoint: Checkpoint) -> WhisperBackbone:
        network = _network(checkpoint.config())
        if not writes(self.context):
            return WhisperBackbone(network.get_encoder(), None, self.options)
        if getattr(network.config, "mmft_labels", False):
            add_labels(network)
        advice = read_advice(checkpoint.folder)
        if advice is not None:
            network.generation_config = advice
        return self._speaking(network, checkpoint.tokenizer())

    def filled(
        self, checkpoint: Checkpoint, loaded: LoadedWeights
    ) -> tuple[WhisperBackbone, LoadedWeights]:
        config, train = checkpoint.config(), self.context.train
        network: Any = load_network(WhisperForConditionalGeneration, checkpoint, config)
        tokenizer = checkpoint.tokenizer()
        if not writes(self.context):
            return WhisperBackbone(network.get_encoder(), None, self.options), loaded
        # Networks of English alone have the same tokenizer, and no use for its languages.
        several = getattr(network.generation_config, "is_multilingual", True)
        # Kept with the network's other facts.
        if self.context.assets is not None:
            heard = getattr(Checkpoint(self.context.assets).config(), "mmft_language", "")
            network.config.mmft_language = heard
        elif self.options.language == "auto" and train is not None and several:
            network.config.mmft_language = hear_language(network, tokenizer, train)
        return self._speaking(network, tokenizer), loaded

    def random(self, loaded: LoadedWeights) -> tuple[WhisperBackbone, LoadedWeights]:
        """With a tokenizer of its own."""
        context, options = self.context, self.options
        called = "Whisper ({layers} + {layers} layers, width {width})"
        config, loaded = chosen_size(self.published, options, loaded, called)
        texts = (f" {text}" for text in transcripts(context.train))
        tokenizer = train(texts if writes(context) else (), options.vocabulary, "seq2seq")
        config.vocab_size = options.vocabulary if context.train is None else len(tokenizer)
        config.pad_token_id = tokenizer.pad_token_id
        config.eos_token_id = tokenizer.eos_token_id
        config.bos_token_id = config.decoder_start_token_id = tokenizer.bos_token_id
        network = _network(config)
        if not writes(context):
            return WhisperBackbone(network.get_encoder(), None, options), loaded
        add_labels(network)
        return WhisperBackbone(network, tokenizer, replace(options, language="auto")), loaded

    def _speaking(self, network: Any, tokenizer: Any) -> WhisperBackbone:
        """In the language that was once heard, where none is given."""
        options, heard = self.options, getattr(network.config, "mmft_language", "")
        if heard and options.language == "auto":
            options = replace(options, language=heard)
        return WhisperBackbone(network, tokenizer, options)


def _network(config: Any) -> Any:
    with quietly():
        network: Any = WhisperForConditionalGeneration(config)
    network.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
    return network.to(torch.float32)


def _config(width: int, layers: int, heads: int, **more: Any) -> WhisperConfig:
    """A published size, whose halves are alike."""
    return WhisperConfig(
        d_model=width,
        encoder_layers=layers,
        decoder_layers=more.pop("decoder_layers", layers),
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width,
        **more,
    )


def _builder(hub_id: str | None, published: Callable[[], WhisperConfig]) -> Build:
    def build(options: WhisperOptions, context: BackboneContext) -> WhisperBackbone:
        return WhisperBuilder(hub_id, options, context, published()).build()

    return build


_TINY, _BASE, _SMALL = (384, 4, 6), (512, 6, 8), (768, 12, 12)
_MEDIUM, _LARGE = (1024, 24, 16), (1280, 32, 20)
_V3 = {"num_mel_bins": 128, "vocab_size": 51866}

build_whisper_tiny = _builder("openai/whisper-tiny", lambda: _config(*_TINY))
build_whisper_tiny_en = _builder("openai/whisper-tiny.en", lambda: _config(*_TINY))
build_whisper_base = _builder("openai/whisper-base", lambda: _config(*_BASE))
build_whisper_base_en = _builder("openai/whisper-base.en", lambda: _config(*_BASE))
build_whisper_small = _builder("openai/whisper-small", lambda: _config(*_SMALL))
build_whisper_medium = _builder("openai/whisper-medium", lambda: _config(*_MEDIUM))
build_whisper_large_v3 = _builder("openai/whisper-large-v3", lambda: _config(*_LARGE, **_V3))
build_whisper_large_v3_turbo = _builder(
    "openai/whisper-large-v3-turbo", lambda: _config(*_LARGE, decoder_layers=4, **_V3)
)
build_whisper = _builder(None, lambda: _config(*_TINY))
