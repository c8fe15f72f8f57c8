"""The architectures behind the backbones' names, and their sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn
from transformers import AutoConfig, PreTrainedConfig

Kind = Literal["encoder", "causal", "seq2seq"]


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


def positions(network: nn.Module, half: Literal["encoder", "decoder"] = "encoder") -> int | None:
    """How many tokens a network, or that half of it, has positions for; None for any number."""
    for name in ("max_position_embeddings", f"max_{half}_position_embeddings"):
        limit = getattr(network.config, name, None)
        if limit is not None and limit > 0:
            return int(limit) - _unused(network, limit)
    return None


def _unused(network: nn.Module, rows: int) -> int:
    """How many rows of its table of positions are not used.

    RoBERTa and its family count positions from behind their padding's index.
    """
    for name, table in network.named_modules():
        counts = isinstance(table, nn.Embedding) and name.endswith("position_embeddings")
        if counts and table.num_embeddings == rows and table.padding_idx is not None:
            return int(table.padding_idx) + 1  # type: ignore[arg-type]
    return 0
