"""Networks of transformers that write, as graphs: by examples, and what in them is of any size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from mmft_core.contracts import Axes, Graph, Tensors
from mmft_core.errors import IncompatibleError
from mmft_transformers.caches import PAST, SOURCE, cache_in, tensors_of
from mmft_transformers.steps import CausalDecoder, Embedding, Encoder, Source, SourceDecoder

ROWS, NEW, OLD, HEARD = 2, 5, 7, 6
"""In examples: of rows, of tokens, of those before them, of positions of the source."""


def causal_graphs(network: Any, *, vectors: bool) -> list[Graph]:
    """A language model: "decoder", and for one that is given vectors "embedding" as well.

    Raises:
        IncompatibleError: the network has another memory than keys and values.
    """
    first = one_step(network)
    ones = torch.ones(ROWS, OLD + NEW, dtype=torch.int64)
    positions = torch.arange(OLD, OLD + NEW).repeat(ROWS, 1)
    keep = torch.arange(NEW)[-3:]
    given: Tensors = {"tokens": ones[:, :NEW].clone()}
    table = network.get_input_embeddings()
    graphs = []
    if vectors:
        embedding = Embedding(table)
        axes = {"tokens": {0: "batch", 1: "length"}}
        graphs.append(Graph(name="embedding", module=embedding, inputs=given, axes=axes))
        given = {name: t.detach() for name, t in embedding(given).items()}
    given |= {"mask": ones[:, OLD:].clone(), "positions": positions, "keep": keep}
    given |= {"past.mask": ones[:, :OLD].clone(), **example(first, PAST, OLD)}
    axes = {name: {0: "batch", 1: "length"} for name in given}
    axes |= {"keep": {0: "kept"}, "past.mask": {0: "batch", 1: "past"}, **cache_axes(given, PAST)}
    module = CausalDecoder(network)
    return [*graphs, Graph(name="decoder", module=module, inputs=given, axes=axes)]


def seq2seq_graphs(network: Any) -> list[Graph]:
    """An encoder-decoder: "encoder", "source" and "decoder".

    Raises:
        IncompatibleError: the network has another memory than keys and values, or its attention
            on the source is of a kind of its own.
    """
    cache = one_step(network)
    tokens = torch.ones(ROWS, HEARD, dtype=torch.int64)
    encoder = Encoder(network.get_encoder())
    read = {"tokens": tokens, "mask": tokens.clone()}
    axes = {name: {0: "batch", 1: "length"} for name in read}
    states = torch.randn(ROWS, HEARD, network.config.hidden_size)
    source = Source(
        *_projections(network, cache), cache.cross_attention_cache.layers[0].keys.shape[-1]
    )
    given = {
        "tokens": torch.ones(ROWS, NEW, dtype=torch.int64),
        "source.mask": tokens.clone(),
        **example(cache.cross_attention_cache, SOURCE, HEARD),
        **example(cache.self_attention_cache, PAST, OLD),
    }
    return [
        Graph(name="encoder", module=encoder, inputs=read, axes=axes),
        source_graph(source, states),
        Graph(
            name="decoder",
            module=SourceDecoder(network),
            inputs=given,
            axes={
                "tokens": {0: "batch", 1: "length"},
                "source.mask": {0: "batch", 1: "source"},
                **cache_axes(given, SOURCE),
                **cache_axes(given, PAST),
            },
        ),
    ]


def source_graph(source: Source, states: Tensor, *, varying: bool = True) -> Graph:
    """The graph of what a decoder attends to.

    Args:
        varying: whether there are sources of other lengths than the example's.
    """
    axes = {"states": {0: "batch", **({1: "source"} if varying else {})}}
    return Graph(name="source", module=source, inputs={"states": states}, axes=axes)


@torch.no_grad()
def one_step(network: Any) -> Any:
    """The cache of a network that has read one token, which may be on the meta device."""
    network.eval()
    states = torch.arange(network.config.hidden_size, device=network.device).sin()[None, None]
    if network.config.is_encoder_decoder:
        token = torch.zeros(1, 1, dtype=torch.int64, device=network.device)
        heard = BaseModelOutput(last_hidden_state=states)
        given = {"encoder_outputs": heard, "decoder_input_ids": token}
    else:  # Of a token on that device nobody can tell whether it is padding.
        given = {"inputs_embeds": states}
    kind = network.config._attn_implementation
    network.set_attn_implementation("eager")  # The others look into masks, which have no values.
    try:
        return cache_in(network(**given, use_cache=True))
    finally:
        network.set_attn_implementation(kind)


def example(cache: Any, prefix: str, length: int) -> Tensors:
    """Tensors like those of a cache, for a graph's example."""
    return {
        name: torch.randn(ROWS, tensor.shape[1], length, tensor.shape[3])
        for name, tensor in tensors_of(cache, prefix).items()
    }


def cache_axes(given: Tensors, prefix: str, rows: str = "batch") -> Axes:
    """The dimensions of any size of keys and values; the length's is called like them."""
    names = (name for name in given if name.startswith(f"{prefix}.") and given[name].ndim == 4)
    return {name: {0: rows, 2: prefix} for name in names}


@torch.no_grad()
def _projections(network: Any, cache: Any) -> tuple[list[nn.Module], list[nn.Module]]:
    """What makes keys and values of an encoder's states, for each layer of the decoder.

    Networks name these modules as they like; they are known by what they give.

    Raises:
        IncompatibleError: keys and values are more than projections.
    """
    found: list[tuple[nn.Module, Tensor]] = []

    def note(module: nn.Module, _: Any, output: Tensor) -> None:
        found.append((module, output))

    linear = [m for m in network.get_decoder().modules() if isinstance(m, nn.Linear)]
    hooks = [module.register_forward_hook(note) for module in linear]
    try:
        layers = one_step(network).cross_attention_cache.layers
    finally:
        for hook in hooks:
            hook.remove()

    def maker(wanted: Tensor) -> nn.Module:
        flat = wanted.transpose(1, 2).flatten(2)
        for module, output in found:
            if output.shape == flat.shape and torch.equal(output, flat):
                return module
        raise IncompatibleError(
            f"A network of type {network.config.model_type} attends to its source in a way that "
            "cannot be exported.",
            hint="Export a network like T5 or BART.",
        )

    return [maker(layer.keys) for layer in layers], [maker(layer.values) for layer in layers]
