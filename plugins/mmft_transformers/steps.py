"""What computes each step of a network of transformers that writes, as the modules of graphs.

A decoder takes tokens and the keys and values of those before, of which there may be none, so one
graph serves the first step and all later ones.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from mmft_core.contracts import Tensors
from mmft_transformers.caches import (
    PAST,
    PRESENT,
    SOURCE,
    both,
    cache_in,
    cache_of,
    given_cache,
    pairs_named,
    tensors_of,
)


def accepted(function: Any, **arguments: Any) -> dict[str, Any]:
    """Those of the arguments that a network's forward pass knows."""
    known = inspect.signature(function).parameters
    return {name: value for name, value in arguments.items() if name in known}


class CausalDecoder(nn.Module):
    """{"tokens" (B, T) or "vectors" (B, T, D), "mask" (B, T), "positions" (B, T), "keep" (K,),
    "past.mask" (B, P), "past..."} to {"logits" (B, K, V) at the positions to keep, "present..."}.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, given: Tensors) -> Tensors:
        keep = given["keep"]
        more = accepted(self.network.forward, position_ids=given["positions"], logits_to_keep=keep)
        output = self.network(
            input_ids=given.get("tokens"),
            inputs_embeds=given.get("vectors"),
            attention_mask=torch.cat([given["past.mask"], given["mask"]], 1),
            **given_cache(self.network.forward, cache_of(given, PAST)),
            use_cache=True,
            **more,
        )
        logits = output.logits if "logits_to_keep" in more else output.logits[:, keep]
        return {"logits": logits.float(), **tensors_of(cache_in(output), PRESENT)}


class Embedding(nn.Module):
    """{"tokens" (B, T)} to {"vectors" (B, T, D)}."""

    def __init__(self, embedding: nn.Module) -> None:
        super().__init__()
        self.embedding = embedding

    def forward(self, given: Tensors) -> Tensors:
        return {"vectors": self.embedding(given["tokens"])}


class Encoder(nn.Module):
    """{"tokens" (B, S), "mask" (B, S)} to {"states" (B, S, D)}."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, given: Tensors) -> Tensors:
        output = self.encoder(given["tokens"], attention_mask=given["mask"])
        return {"states": output.last_hidden_state}


class Source(nn.Module):
    """{"states" (B, S, D)} to {"source..."}: what each layer of a decoder attends to."""

    def __init__(self, keys: Sequence[nn.Module], values: Sequence[nn.Module], width: int) -> None:
        """Args:
        keys, values: what projects states, for each layer.
        width: of a head.
        """
        super().__init__()
        self.keys, self.values, self.width = nn.ModuleList(keys), nn.ModuleList(values), width

    def forward(self, given: Tensors) -> Tensors:
        states = given["states"]
        pairs = [
            (self._split(keys(states)), self._split(values(states)))
            for keys, values in zip(self.keys, self.values, strict=True)
        ]
        return pairs_named(pairs, SOURCE)

    def _split(self, states: Tensor) -> Tensor:
        return states.unflatten(2, (-1, self.width)).transpose(1, 2)


class SourceDecoder(nn.Module):
    """{"tokens" (B, T), "source.mask" (B, S), "source...", "past..."} to {"logits" (B, T, V),
    "present..."}.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, given: Tensors) -> Tensors:
        mask = given["source.mask"]
        # Its keys and values are given, so of the states nothing is read but their size.
        states = torch.zeros(*mask.shape, self.network.config.hidden_size)
        past = both(cache_of(given, PAST), cache_of(given, SOURCE))
        output = self.network(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            attention_mask=mask,
            decoder_input_ids=given["tokens"],
            **given_cache(self.network.forward, past),
            use_cache=True,
        )
        own = cache_in(output).self_attention_cache
        return {"logits": output.logits.float(), **tensors_of(own, PRESENT)}
