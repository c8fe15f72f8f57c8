"""The architectures behind the backbones' names, and their sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn
from transformers import AutoConfig, PreTrainedConfig

from mmft_transformers.tokenizers import Kind as Kind


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
