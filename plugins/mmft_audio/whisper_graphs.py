"""Whisper as graphs: what hears, what the decoder attends to of it, and a step of the decoder.

The spectrogram is computed outside of them, by `mmft_audio.spectra.LogMel`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from mmft_transformers.caches import PAST, PRESENT, SOURCE, cache_in, cache_of, tensors_of
from mmft_transformers.graphs import HEARD, NEW, OLD, ROWS, Source, source_graph
from torch import nn
from transformers.modeling_outputs import BaseModelOutput

from mmft_audio.whisper_attention import Projected, listening
from mmft_core.contracts import Graph, Tensors

if TYPE_CHECKING:
    from mmft_audio.whisper import WhisperBackbone

_BEAMS = 3


class Hearing(nn.Module):
    """{"features" (B, channels, F), "lengths" (B,) in frames} to {"states" (B, S, D)}."""

    def __init__(self, backbone: WhisperBackbone) -> None:
        super().__init__()
        self.encoder, self._backbone = backbone.encoder, [backbone]

    def forward(self, given: Tensors) -> Tensors:
        return {"states": self._backbone[0].states(given["features"], given["lengths"])}


class Step(nn.Module):
    """{"tokens" (B, K, T), "source.mask" (B, S), "source...", "past..." (B, K, heads, P, D)} to
    {"logits" (B, K, T, V), "present..."}, for K beams of each recording.

    The mask is left out where every recording fills the window.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, given: Tensors) -> Tensors:
        tokens = given["tokens"]
        layers = [layer.encoder_attn for layer in self.network.model.decoder.layers]
        heard = Projected(layers, given, given.get("source.mask"))
        past = {n: t.flatten(0, 1) for n, t in given.items() if n.startswith(f"{PAST}.")}
        unread = torch.zeros(tokens.shape[0] * tokens.shape[1], 1, self.network.config.d_model)
        with listening(layers, heard):
            output = self.network(
                encoder_outputs=BaseModelOutput(last_hidden_state=unread),
                decoder_input_ids=tokens.flatten(0, 1),
                past_key_values=cache_of(past, PAST),
                use_cache=True,
            )
        cache = cache_in(output)
        own = getattr(cache, "self_attention_cache", cache)
        found = {"logits": output.logits.float(), **tensors_of(own, PRESENT)}
        return {name: t.unflatten(0, tokens.shape[:2]) for name, t in found.items()}


def whisper_graphs(backbone: WhisperBackbone) -> list[Graph]:
    """The graphs "encoder", "source" and "decoder"."""
    network, padded = backbone.network.eval(), backbone.processor.padded
    heads, width = sizes(network.config)
    positions = backbone.positions if padded else HEARD
    attentions = [layer.encoder_attn for layer in network.model.decoder.layers]
    source = Source([a.k_proj for a in attentions], [a.v_proj for a in attentions], width)
    heard = {
        "features": torch.randn(ROWS, network.config.num_mel_bins, 2 * positions),
        "lengths": torch.tensor([2 * positions] * ROWS),
    }
    axes = {"features": {0: "batch", **({} if padded else {2: "frames"})}, "lengths": {0: "batch"}}
    states = torch.randn(ROWS, positions, network.config.d_model)
    given: Tensors = {"tokens": torch.ones(ROWS, _BEAMS, NEW, dtype=torch.int64)}
    if not padded:
        given["source.mask"] = torch.ones(ROWS, positions, dtype=torch.bool)
    given |= source({"states": states})
    for name in list(given):
        if name.startswith(f"{SOURCE}.") and given[name].ndim == 4:
            past = torch.randn(ROWS, _BEAMS, heads, OLD, width)
            given[name.replace(SOURCE, PAST)] = past
    return [
        Graph(name="encoder", module=Hearing(backbone), inputs=heard, axes=axes),
        source_graph(source, states, varying=not padded),
        Graph(name="decoder", module=Step(network), inputs=given, axes=_axes(given, padded)),
    ]


def _axes(given: Tensors, padded: bool) -> dict[str, dict[int, str]]:
    length = {} if padded else {1: "source"}
    axes: dict[str, dict[int, str]] = {}
    for name, tensor in given.items():
        if tensor.ndim == 5:
            axes[name] = {0: "batch", 1: "beams", 3: "past"}
        elif tensor.ndim == 4:
            axes[name] = {0: "batch", **({} if padded else {2: "source"})}
    masks = {"source.mask": {0: "batch", **length}} if "source.mask" in given else {}
    return {"tokens": {0: "batch", 1: "beams", 2: "length"}, **masks, **axes}


def sizes(config: Any) -> tuple[int, int]:
    """The number of a decoder's heads, and the width of one."""
    heads = config.decoder_attention_heads
    return heads, config.d_model // heads
