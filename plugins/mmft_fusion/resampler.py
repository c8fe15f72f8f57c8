"""From sequences of any length to a few vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Resampler(nn.Module):
    """A few learned queries that attend to a sequence.

    A small transformer as in Perceiver (Jaegle et al., 2021), whose work grows with the length of
    the sequence, not with its square.
    """

    def __init__(self, width: int, queries: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(queries, width) * 0.02)
        layer = nn.TransformerDecoderLayer(
            width,
            heads,
            dim_feedforward=2 * width,
            dropout=dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerDecoder(layer, layers, nn.LayerNorm(width))

    def forward(self, sequence: Tensor, mask: Tensor) -> Tensor:
        """Give (B, Q, W) of a sequence (B, T, W), whose mask (B, T) is False for padding."""
        queries = self.queries.expand(sequence.shape[0], -1, -1)
        found: Tensor = self.layers(queries, sequence, memory_key_padding_mask=~mask)
        return found
