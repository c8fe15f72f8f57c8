"""Whisper as graphs: what hears, what the decoder attends to of it, and a step of the decoder.

The spectrogram is computed outside of them, by `mmft_audio.spectra.LogMel`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.cache_utils import EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from mmft_audio.whisper_attention import Projected, listening
from mmft_core.contracts import Axes, Graph, Tensors
from mmft_transformers.caches import (
    PAST,
    PRESENT,
    SOURCE,
    cache_in,
    cache_of,
    given_cache,
    pairs_named,
    tensors_of,
)
from mmft_transformers.graphs import HEARD, NEW, OLD, ROWS, cache_axes, source_graph
from mmft_transformers.steps import Source


class Hearing(nn.Module):
    """{"features" (B, channels, F), "lengths" (B,) in frames} to {"states" (B, S, D)}."""

    def __init__(self, encoder: nn.Module, encode: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Args:
        encode: see `WhisperBackbone.states`; it computes with the encoder's weights.
        """
        super().__init__()
        self.encoder, self._encode = encoder, encode

    def forward(self, given: Tensors) -> Tensors:
        return {"states": self._encode(given["features"], given["lengths"])}


class Step(nn.Module):
    """{"tokens" (B, T), "source.mask" (B, S), "source...", "past..."} to {"logits" (B, T, V),
    "present..."}.

    The mask is left out where every recording fills the window.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, given: Tensors) -> Tensors:
        tokens = given["tokens"]
        layers = [layer.encoder_attn for layer in self.network.model.decoder.layers]
        heard = Projected(layers, given, given.get("source.mask"))
        past = EncoderDecoderCache(cache_of(given, PAST), DynamicCache())
        # Without a mask transformers would look at positions for texts that share a row.
        known = torch.ones(tokens.shape[0], past.get_seq_length() + tokens.shape[1])
        unread = torch.zeros(tokens.shape[0], 1, self.network.config.d_model)
        with listening(layers, heard):
            output = self.network(
                encoder_outputs=BaseModelOutput(last_hidden_state=unread),
                decoder_input_ids=tokens,
                decoder_attention_mask=known,
                **given_cache(self.network.forward, past),
                use_cache=True,
            )
        own = cache_in(output).self_attention_cache
        return {"logits": output.logits.float(), **tensors_of(own, PRESENT)}


def whisper_graphs(
    network: Any, encode: Callable[[Tensor, Tensor], Tensor], *, positions: int, padded: bool
) -> list[Graph]:
    """The graphs "encoder", "source" and "decoder".

    Args:
        network: `WhisperForConditionalGeneration`.
        encode: see `WhisperBackbone.states`.
        positions: most of the encoder, which every recording has where it is padded.
    """
    network.eval()
    heads, width = sizes(network.config)
    positions = positions if padded else HEARD
    attentions = [layer.encoder_attn for layer in network.model.decoder.layers]
    source = Source([a.k_proj for a in attentions], [a.v_proj for a in attentions], width)
    heard = {
        "features": torch.randn(ROWS, network.config.num_mel_bins, 2 * positions),
        "lengths": torch.tensor([2 * positions] * ROWS),
    }
    hearing = Hearing(network.model.encoder, encode)
    axes = {"features": {0: "batch", **({} if padded else {2: "frames"})}, "lengths": {0: "batch"}}
    states = torch.randn(ROWS, positions, network.config.d_model)
    given: Tensors = {"tokens": torch.ones(ROWS, NEW, dtype=torch.int64)}
    if not padded:
        given["source.mask"] = torch.ones(ROWS, positions, dtype=torch.bool)
    # Each a tensor of its own, for torch.export takes one that comes twice for one input.
    drawn = torch.randn(len(attentions), 2, ROWS, heads, OLD, width)
    pairs = [(keys.clone(), values.clone()) for keys, values in drawn]
    given |= source({"states": states}) | pairs_named(pairs, PAST)
    return [
        Graph(name="encoder", module=hearing, inputs=heard, axes=axes),
        source_graph(source, states, varying=not padded),
        Graph(name="decoder", module=Step(network), inputs=given, axes=_axes(given, padded)),
    ]


def _axes(given: Tensors, padded: bool) -> Axes:
    axes = {"tokens": {0: "batch", 1: "length"}, **cache_axes(given, PAST)}
    heard = {name: {0: "batch"} for name in given if name.startswith(SOURCE)}
    if padded:
        return {**axes, **heard}
    return {**axes, **cache_axes(given, SOURCE), "source.mask": {0: "batch", 1: "source"}}


def sizes(config: Any) -> tuple[int, int]:
    """The number of a decoder's heads, and the width of one."""
    heads = config.decoder_attention_heads
    return heads, config.d_model // heads
