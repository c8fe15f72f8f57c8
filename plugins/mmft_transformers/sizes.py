"""Smaller sizes of architectures, for networks that start from random weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from transformers import PreTrainedConfig

from mmft_core.weights import LoadedWeights
from mmft_transformers.options import SIZES, Size, SizeName, SizeOptions

_LAYERS = ("num_hidden_layers", "encoder_layers", "decoder_layers", "num_decoder_layers")
_HEADS = (
    "num_attention_heads",
    "num_key_value_heads",
    "encoder_attention_heads",
    "decoder_attention_heads",
)
_INNER = (
    "intermediate_size",
    "hidden_dim",
    "d_ff",
    "encoder_ffn_dim",
    "decoder_ffn_dim",
    "n_inner",
)
_HEAD_WIDTH = ("head_dim", "d_kv")
_DROPOUT = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "embd_pdrop",
    "resid_pdrop",
    "attn_pdrop",
    "dropout",
    "dropout_rate",
    "attention_dropout",
    "activation_dropout",
    "hidden_dropout",
)


def resized(config: PreTrainedConfig, size: Size) -> PreTrainedConfig:
    """Set the size of an architecture, whose feed-forward layers keep their proportion.

    It has no dropout: small networks do as well without on few passes, and drawing it takes a CPU a
    fifth of a step (see docs/results.md).
    """
    proportion = size.width / config.hidden_size
    for name in _INNER:
        if isinstance(getattr(config, name, None), int):
            setattr(config, name, round(getattr(config, name) * proportion / 8) * 8)
    values = dict.fromkeys(_LAYERS, size.layers) | dict.fromkeys(_HEADS, size.heads)
    values |= {"hidden_size": size.width} | dict.fromkeys(_HEAD_WIDTH, size.width // size.heads)
    values |= dict.fromkeys(_DROPOUT, 0.0)
    for name, value in values.items():
        if getattr(config, name, None) is not None:
            setattr(config, name, value)
    if getattr(config, "layer_types", None) is not None:
        config.layer_types = config.layer_types[: size.layers]
    return config


def size_name(options: SizeOptions) -> SizeName:
    """Which size random weights have."""
    return options.random_size if options.size == "auto" else options.size


def chosen_size(
    config: Any,
    options: SizeOptions,
    loaded: LoadedWeights,
    called: str = "{type} ({layers} layers, width {width})",
) -> tuple[Any, LoadedWeights]:
    """Give an architecture the size that the options name, and say so.

    Args:
        config: of the published size.
        loaded: why the weights are random, to which a remark is added.
        called: how the remark names the network.
    """
    name = size_name(options)
    if name == "published":
        return config, loaded
    size = SIZES[name]
    config = resized(config, size)
    network = called.format(type=config.model_type, layers=size.layers, width=size.width)
    remark = f"A {name} {network} is trained{' instead' if loaded.fell_back else ''}."
    return config, replace(loaded, detail=f"{loaded.detail} {remark}".strip())
