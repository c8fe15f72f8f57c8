"""The decoder's attention on the recording: with a mask, and without a copy for each beam."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from mmft_core.contracts import Features, Tensors
from mmft_transformers.caches import SOURCE, pairs_of


class Heard:
    """What a decoder listens to while it writes.

    Attributes:
        features: of a batch of recordings.
        weights: of the recorded heads' attention (B, T, S), by layer and head.
    """

    def __init__(
        self, features: Features, *, masked: bool, record: Sequence[tuple[int, int]] = ()
    ) -> None:
        """Args:
        masked: whether there is padding that is not to be heard.
        record: layers and heads to keep the weights of. All would be most of a prediction's memory.
        """
        self.features = features
        self.mask = (
            features.mask[:, None, None, :] if masked and features.mask is not None else None
        )
        self.record, self.weights = record, dict[tuple[int, int], Tensor]()
        self._projected: dict[int, tuple[Tensor, Tensor]] = {}

    def projected(self, attention: SourceAttention) -> tuple[Tensor, Tensor]:
        """Keys and values (B, heads, S, D), computed once for a text that is being written."""
        assert self.features.sequence is not None
        if torch.is_grad_enabled():
            return attention.project(self.features.sequence)
        key = id(attention)
        if key not in self._projected:
            self._projected[key] = attention.project(self.features.sequence)
        return self._projected[key]

    def listen(self, attention: SourceAttention, queries: Tensor, keys: Tensor) -> None:
        """Keep the weights of a layer's heads that are recorded.

        Args:
            queries: (B, heads, T, D), scaled.
            keys: (B, heads, S, D).
        """
        for layer, head in self.record:
            if layer == attention.layer:
                logits = queries[:, head] @ keys[:, head].transpose(1, 2)
                if self.mask is not None:
                    logits = logits.masked_fill(~self.mask[:, 0], -torch.inf)
                self.weights[layer, head] = logits.float().softmax(-1)


class Projected:
    """The same for a graph, which is given keys and values of each layer.

    Attributes:
        mask: (B, 1, 1, S), or None where there is no padding.
    """

    def __init__(
        self, layers: Sequence[SourceAttention], given: Tensors, mask: Tensor | None
    ) -> None:
        """Args:
        given: "source.LAYER.keys" and "source.LAYER.values" (B, heads, S, D).
        mask: (B, S) bool.
        """
        pairs = pairs_of(given, SOURCE)
        self._pairs = {id(layer): pair for layer, pair in zip(layers, pairs, strict=True)}
        self.mask = None if mask is None else mask[:, None, None, :]

    def projected(self, attention: SourceAttention) -> tuple[Tensor, Tensor]:
        return self._pairs[id(attention)]

    def listen(self, attention: SourceAttention, queries: Tensor, keys: Tensor) -> None:
        """Nothing is recorded in a graph."""


@contextmanager
def listening(layers: Sequence[SourceAttention], heard: Heard | Projected) -> Iterator[None]:
    """While layers of a decoder listen to that."""
    try:
        for attention in layers:
            attention.heard = heard
        yield
    finally:
        for attention in layers:
            attention.heard = None


class SourceAttention(nn.Module):
    """Takes the place of a decoder layer's attention on the encoder, with the same weights.

    transformers' own has no way for a mask to get in, and copies keys and values of a recording
    for every beam, at every step. Here the beams of a recording, which stand together, are queries
    to the same keys.
    """

    def __init__(self, attention: Any, layer: int) -> None:
        """Args:
        attention: transformers' `WhisperAttention`.
        layer: its number in the decoder.
        """
        super().__init__()
        self.layer = layer
        self.heads, self.scaling = attention.num_heads, attention.scaling
        self.dropout = attention.dropout
        self.k_proj, self.v_proj = attention.k_proj, attention.v_proj
        self.q_proj, self.out_proj = attention.q_proj, attention.out_proj
        self.heard: Heard | Projected | None = None

    def project(self, sequence: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, heads, S, D) of the encoder's states."""
        return self._split(self.k_proj(sequence)), self._split(self.v_proj(sequence))

    def forward(
        self, hidden_states: Tensor, output_attentions: bool = False, **_: Any
    ) -> tuple[Tensor, None]:
        """Attend with states (B * beams, T, width); the other arguments are for transformers'."""
        heard = self.heard
        assert heard is not None, "there is nothing to hear"
        keys, values = heard.projected(self)
        rows, length, width = hidden_states.shape
        together = hidden_states.reshape(keys.shape[0], -1, width)  # `len` would fix it in a graph.
        queries = self._split(self.q_proj(together) * self.scaling)
        heard.listen(self, queries, keys)
        mixed = F.scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=heard.mask,
            dropout_p=self.dropout if self.training else 0.0,
            scale=1.0,
        )
        output: Tensor = self.out_proj(mixed.transpose(1, 2).reshape(rows, length, width))
        return output, None

    def _split(self, states: Tensor) -> Tensor:
        """(B, T, width) to (B, heads, T, D)."""
        return states.unflatten(2, (self.heads, -1)).transpose(1, 2)
