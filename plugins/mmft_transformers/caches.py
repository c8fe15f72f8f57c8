"""Keys and values that attention keeps, as tensors by name, which graphs take and give."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, EncoderDecoderCache

from mmft_core.contracts import Tensors
from mmft_core.errors import IncompatibleError

PAST, PRESENT, SOURCE = "past", "present", "source"
"""What a decoder is given of its own attention, what it gives, and what it attends to."""


def tensors_of(cache: Any, prefix: str) -> Tensors:
    """The contents (B, heads, T, D) of a cache: "PREFIX.LAYER.keys" and "PREFIX.LAYER.values"."""
    return pairs_named([(layer.keys, layer.values) for layer in cache.layers], prefix)


def pairs_named(pairs: Sequence[tuple[Tensor, Tensor]], prefix: str) -> Tensors:
    """Keys and values of each layer by these names."""
    named: Tensors = {}
    for index, (keys, values) in enumerate(pairs):
        named |= {f"{prefix}.{index}.keys": keys, f"{prefix}.{index}.values": values}
    return named


def pairs_of(tensors: Tensors, prefix: str) -> list[tuple[Tensor, Tensor]]:
    """Keys and values of each layer, of tensors that `pairs_named` named."""
    count = sum(name.startswith(f"{prefix}.") and name.endswith(".keys") for name in tensors)
    return [(tensors[f"{prefix}.{i}.keys"], tensors[f"{prefix}.{i}.values"]) for i in range(count)]


def cache_of(tensors: Tensors, prefix: str) -> DynamicCache:
    """The cache whose contents `tensors_of` named."""
    return DynamicCache(pairs_of(tensors, prefix))


def given_cache(forward: Any, cache: Any) -> dict[str, Any]:
    """A cache as the argument of a network's forward pass, which transformers has renamed."""
    name = "cache" if "cache" in inspect.signature(forward).parameters else "past_key_values"
    return {name: cache}


def both(own: DynamicCache, source: DynamicCache) -> EncoderDecoderCache:
    """A decoder's cache, of which the half on the source is complete."""
    cache = EncoderDecoderCache(own, source)
    cache.is_updated = dict.fromkeys(range(len(source.layers)), True)
    return cache


def cache_in(output: Any) -> Any:
    """The cache in what a network of transformers gave.

    Raises:
        IncompatibleError: it is not one of keys and values of every position alone.
    """
    found = output.get("cache")  # `past_key_values` until transformers 5.20 or so.
    found = output.get("past_key_values") if found is None else found
    own = getattr(found, "self_attention_cache", found)
    layers = getattr(own, "layers", ())
    if not layers or any(not _plain(layer) for layer in layers):
        raise IncompatibleError(
            "The network remembers something else than keys and values of attention, so it "
            "cannot be exported with a cache.",
            hint="Export a network like GPT, Llama, T5 or BART.",
        )
    return found


def _plain(layer: Any) -> bool:
    kept = (getattr(layer, "keys", None), getattr(layer, "values", None))
    return isinstance(layer, DynamicLayer) and all(isinstance(t, Tensor) for t in kept)


def blank(cache: Any) -> Tensors:
    """Of a cache what a decoder's first step is given, for one row."""
    named = tensors_of(cache, PAST)
    return {n: torch.zeros(1, t.shape[1], 0, t.shape[3]) for n, t in named.items()}


def rows_of_nothing(blanks: Tensors, rows: int) -> Tensors:
    """The same for so many rows."""
    return {name: tensor.expand(rows, -1, -1, -1).contiguous() for name, tensor in blanks.items()}
