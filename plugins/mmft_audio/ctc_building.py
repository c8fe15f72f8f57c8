"""CTC networks: published, from a folder, or random with an alphabet of their own."""

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
    make_network,
)
from mmft_transformers.sizes import SIZES, resized
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForCTC,
    HubertConfig,
    PreTrainedConfig,
    Wav2Vec2Config,
)
from transformers.models.auto import modeling_auto

from mmft_audio.characters import Alphabet
from mmft_audio.ctc import CtcBackbone
from mmft_audio.options import CtcOptions
from mmft_audio.transcripts import transcripts
from mmft_core.contracts import BackboneContext
from mmft_core.errors import WeightsError
from mmft_core.weights import LoadedWeights

Build: TypeAlias = Callable[[CtcOptions, BackboneContext], CtcBackbone]


def build(
    hub_id: str | None, published: PreTrainedConfig, options: CtcOptions, context: BackboneContext
) -> CtcBackbone:
    """Build the backbone, with a head where the task needs transcripts.

    Args:
        published: the architecture of the name, for random weights.

    Raises:
        WeightsError: the weights that were asked for cannot be had.
    """
    if context.weights.choice == "run" and context.assets is not None:
        backbone = _empty(Checkpoint(context.assets), options, context)
        backbone.loaded = LoadedWeights(source="run")
        return backbone
    checkpoint, loaded = find_checkpoint(context, hub_id, tokenizer=False)
    if checkpoint is None:
        return _random(published, options, context, loaded)
    config = checkpoint.config()
    if config.model_type not in modeling_auto.MODEL_FOR_CTC_MAPPING_NAMES or not hasattr(
        config, "conv_stride"
    ):
        raise WeightsError(
            f"{checkpoint.folder} holds a network of type {config.model_type}, "
            "which is none that labels waves with characters."
        )
    if checkpoint.run is not None:
        backbone = _empty(checkpoint, options, context)
        fill_from_run(backbone, checkpoint.run, context.weights.modality)
    else:
        backbone, remark = _loaded(checkpoint, config, options, context)
        loaded = replace(loaded, detail=f"{loaded.detail} {remark}".strip())
    backbone.loaded = loaded
    return backbone


def _empty(checkpoint: Checkpoint, options: CtcOptions, context: BackboneContext) -> CtcBackbone:
    """A backbone whose weights are to be filled in."""
    config = checkpoint.config()
    if not _writes(context):
        return CtcBackbone(make_network(AutoModel, config), None, options)
    alphabet = Alphabet.load(checkpoint.folder)
    return CtcBackbone(make_network(AutoModelForCTC, config), alphabet, options)


def _loaded(
    checkpoint: Checkpoint, config: Any, options: CtcOptions, context: BackboneContext
) -> tuple[CtcBackbone, str]:
    """A backbone with the weights of a folder, and what is to be told of its head."""
    headed = any(name.endswith("ForCTC") for name in config.architectures or ())
    if not _writes(context):
        network: Any = load_network(AutoModelForCTC if headed else AutoModel, checkpoint, config)
        return CtcBackbone(network.base_model, None, options), ""
    texts = list(transcripts(context.train))
    if headed:
        lower = not any(c.isupper() for text in texts for c in text)
        alphabet = Alphabet.of_vocabulary(checkpoint.folder / "vocab.json", lower=lower)
        network = load_network(AutoModelForCTC, checkpoint, config)
        new = "".join(sorted({c for text in texts for c in alphabet.lacks(text)}))
        if new:
            alphabet = replace(alphabet, labels=(*alphabet.labels, *alphabet.fit(new)))
            _widen(network, len(alphabet.labels))
        remark = f"Its head is given {len(new)} more characters: {new}" if new else ""
        return CtcBackbone(network, alphabet, options), remark
    alphabet = Alphabet.of_texts(texts)
    _fit_config(config, alphabet)
    network = make_network(AutoModelForCTC, config)
    body = load_network(AutoModel, checkpoint, checkpoint.config())
    network.base_model.load_state_dict(body.state_dict())
    return CtcBackbone(network, alphabet, options), "Its head is new."


def _widen(network: Any, labels: int) -> None:
    """Give a head more labels, whose weights start small."""
    old: nn.Linear = network.lm_head
    head = nn.Linear(old.in_features, labels)
    with torch.no_grad():
        head.weight.normal_(std=0.02)
        # As rare as can be until they are learned.
        head.bias.fill_(float(old.bias.min()))
        head.weight[: old.out_features] = old.weight
        head.bias[: old.out_features] = old.bias
    network.lm_head = head
    network.config.vocab_size = labels


def _random(
    config: Any, options: CtcOptions, context: BackboneContext, loaded: LoadedWeights
) -> CtcBackbone:
    """A backbone of random weights, with an alphabet of the training transcripts."""
    size = options.random_size if options.size == "auto" else options.size
    if size != "published":
        config = resized(config, SIZES[size])
        config.conv_dim = [SIZES[size].width] * len(config.conv_dim)
        network = f"{config.model_type} ({SIZES[size].layers} layers, width {SIZES[size].width})"
        remark = f"A {size} {network} is trained{' in its place' if loaded.fell_back else ''}."
        loaded = replace(loaded, detail=f"{loaded.detail} {remark}".strip())
    # Norms of each moment: what comes of a recording then does not depend on its length.
    config.feat_extract_norm, config.do_stable_layer_norm, config.conv_bias = "layer", True, True
    if _writes(context):
        alphabet = Alphabet.of_texts(transcripts(context.train))
        _fit_config(config, alphabet)
        backbone = CtcBackbone(make_network(AutoModelForCTC, config), alphabet, options)
    else:
        backbone = CtcBackbone(make_network(AutoModel, config), None, options)
    backbone.loaded = loaded
    return backbone


def _fit_config(config: Any, alphabet: Alphabet) -> None:
    config.vocab_size = len(alphabet.labels)
    config.pad_token_id = alphabet.blank


def _writes(context: BackboneContext) -> bool:
    return "transcription" in context.needs


def _builder(hub_id: str | None, published: Callable[[], PreTrainedConfig]) -> Build:
    def build_named(options: CtcOptions, context: BackboneContext) -> CtcBackbone:
        return build(hub_id, published(), options, context)

    return build_named


_LARGE: Any = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}

build_wav2vec2_base = _builder("facebook/wav2vec2-base-960h", Wav2Vec2Config)
build_wav2vec2_large = _builder(
    "facebook/wav2vec2-large-960h-lv60-self", lambda: Wav2Vec2Config(**_LARGE)
)
build_hubert_large = _builder("facebook/hubert-large-ls960-ft", lambda: HubertConfig(**_LARGE))
build_ctc = _builder(None, Wav2Vec2Config)
