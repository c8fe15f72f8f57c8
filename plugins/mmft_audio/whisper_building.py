"""Whisper networks: published, from a folder, or random with a tokenizer of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from mmft_transformers.checkpoints import (
    Checkpoint,
    fill_from_run,
    find_checkpoint,
    load_network,
)
from mmft_transformers.quiet import quietly
from mmft_transformers.sizes import SIZES, resized
from mmft_transformers.tokenizers import train
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

from mmft_audio.options import WhisperOptions
from mmft_audio.transcripts import transcripts
from mmft_audio.whisper import WhisperBackbone, add_labels
from mmft_audio.whisper_language import hear_language
from mmft_core.contracts import BackboneContext
from mmft_core.errors import WeightsError
from mmft_core.weights import LoadedWeights

Build: TypeAlias = Callable[[WhisperOptions, BackboneContext], WhisperBackbone]


def build(
    hub_id: str | None, published: WhisperConfig, options: WhisperOptions, context: BackboneContext
) -> WhisperBackbone:
    """Build the backbone, with its decoder where the task needs transcripts.

    Args:
        published: the architecture of the name, for random weights.

    Raises:
        WeightsError: the weights that were asked for cannot be had.
    """
    if context.weights.choice == "run" and context.assets is not None:
        backbone = _empty(Checkpoint(context.assets), options, context)
        backbone.loaded = LoadedWeights(source="run")
        return backbone
    checkpoint, loaded = find_checkpoint(context, hub_id)
    if checkpoint is None:
        return _random(published, options, context, loaded)
    config = checkpoint.config()
    if config.model_type != "whisper":
        raise WeightsError(
            f"{checkpoint.folder} holds a network of type {config.model_type}, not a Whisper."
        )
    if checkpoint.run is not None:
        backbone = _empty(checkpoint, options, context)
        fill_from_run(backbone, checkpoint.run, context.weights.modality)
    else:
        network = load_network(WhisperForConditionalGeneration, checkpoint, config)
        backbone = _made(network, checkpoint.tokenizer(), options, context)
    backbone.loaded = loaded
    return backbone


def _empty(
    checkpoint: Checkpoint, options: WhisperOptions, context: BackboneContext
) -> WhisperBackbone:
    """A backbone whose weights are to be filled in."""
    network = _network(checkpoint.config())
    if not _writes(context):
        return WhisperBackbone(network.get_encoder(), None, options)
    if getattr(network.config, "mmft_labels", False):
        add_labels(network)
    if (checkpoint.folder / "generation_config.json").is_file():
        network.generation_config = GenerationConfig.from_pretrained(checkpoint.folder)
    return WhisperBackbone(network, checkpoint.tokenizer(), _spoken(options, network))


def _made(
    network: Any, tokenizer: Any, options: WhisperOptions, context: BackboneContext
) -> WhisperBackbone:
    """A backbone of a network with weights."""
    if not _writes(context):
        return WhisperBackbone(network.get_encoder(), None, options)
    own = options
    # Networks of English alone have the same tokenizer, and no use for its languages.
    several = getattr(network.generation_config, "is_multilingual", True)
    if options.language == "auto" and context.train is not None and several:
        language = hear_language(network, tokenizer, context.train)
        network.config.mmft_language = language  # Kept with the network's other facts.
        own = _spoken(options, network)
    return WhisperBackbone(network, tokenizer, own)


def _spoken(options: WhisperOptions, network: Any) -> WhisperOptions:
    """With the language that was once heard, where none is given."""
    heard = getattr(network.config, "mmft_language", "")
    return replace(options, language=heard) if heard and options.language == "auto" else options


def _random(
    config: Any,
    options: WhisperOptions,
    context: BackboneContext,
    loaded: LoadedWeights,
) -> WhisperBackbone:
    """A backbone of random weights, with a tokenizer of its own."""
    size = options.random_size if options.size == "auto" else options.size
    if size != "published":
        config = resized(config, SIZES[size])
        network = f"Whisper ({SIZES[size].layers} + {SIZES[size].layers} layers, "
        remark = f"A {size} {network}width {SIZES[size].width}) is trained"
        remark += " in its place." if loaded.fell_back else "."
        loaded = replace(loaded, detail=f"{loaded.detail} {remark}".strip())
    texts = (f" {text}" for text in transcripts(context.train))
    tokenizer = train(texts if _writes(context) else (), options.vocabulary, "seq2seq")
    config.vocab_size = options.vocabulary if context.train is None else len(tokenizer)
    config.pad_token_id = tokenizer.pad_token_id
    config.eos_token_id = tokenizer.eos_token_id
    config.bos_token_id = config.decoder_start_token_id = tokenizer.bos_token_id
    network = _network(config)
    if _writes(context):
        add_labels(network)
        backbone = WhisperBackbone(network, tokenizer, replace(options, language="auto"))
    else:
        backbone = WhisperBackbone(network.get_encoder(), None, options)
    backbone.loaded = loaded
    return backbone


def _network(config: Any) -> Any:
    with quietly():
        network = WhisperForConditionalGeneration(config)
    network.generation_config = GenerationConfig()
    return network.to(torch.float32)


def _writes(context: BackboneContext) -> bool:
    return "transcription" in context.needs


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
    def build_named(options: WhisperOptions, context: BackboneContext) -> WhisperBackbone:
        return build(hub_id, published(), options, context)

    return build_named


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
