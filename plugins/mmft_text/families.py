"""The architectures behind the backbones' names, and their sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transformers import AutoConfig, PreTrainedConfig


@dataclass(frozen=True)
class Family:
    """What a backbone's name stands for.

    Attributes:
        hub_id: of the published weights; None where only the user's own can be loaded.
        model_type: the architecture, as transformers names it.
        config: how the published size differs from the architecture's default.
    """

    hub_id: str | None
    model_type: str
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def any_architecture(self) -> bool:
        return self.hub_id is None

    def published_config(self) -> PreTrainedConfig:
        return AutoConfig.for_model(self.model_type, **self.config)


@dataclass(frozen=True)
class Size:
    """A size for random weights: layers (of each half, where there are two), width, heads."""

    layers: int
    width: int
    heads: int


SIZES = {"tiny": Size(4, 256, 4), "small": Size(6, 384, 6), "base": Size(12, 768, 12)}

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


def resized(config: PreTrainedConfig, size: Size) -> PreTrainedConfig:
    """Set the size of an architecture, whose feed-forward layers keep their proportion."""
    proportion = size.width / config.hidden_size
    for name in _INNER:
        if isinstance(getattr(config, name, None), int):
            setattr(config, name, round(getattr(config, name) * proportion / 8) * 8)
    values = dict.fromkeys(_LAYERS, size.layers) | dict.fromkeys(_HEADS, size.heads)
    values |= {"hidden_size": size.width} | dict.fromkeys(_HEAD_WIDTH, size.width // size.heads)
    for name, value in values.items():
        if getattr(config, name, None) is not None:
            setattr(config, name, value)
    if getattr(config, "layer_types", None) is not None:
        config.layer_types = config.layer_types[: size.layers]
    return config


def positions(config: PreTrainedConfig) -> int | None:
    """How many tokens the network has positions for; None for any number."""
    limit = getattr(config, "max_position_embeddings", None)
    if limit is None or config.model_type == "t5":  # T5's positions are relative.
        return None
    # RoBERTa counts positions from behind its padding's index.
    return int(limit) - (2 if config.model_type == "roberta" else 0)
