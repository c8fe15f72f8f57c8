"""The parts of networks that see or hear, found by their configurations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from mmft_transformers.depth import depth_order

_TOWERS = {
    "text_config": "language",
    "vision_config": "vision",
    "audio_config": "audio",
    "encoder_config": "audio",
}
"""Which part has a configuration of its own under which name."""

_MERGERS = {"merger", "deepstack_merger_list"}
"""Modules that connect, although they stand inside a tower."""
_EXTENSION = "embed_tokens_extend"
"""What stands around the towers of a language model that is not a module by itself."""


def parts_of(network: Any) -> dict[str, Sequence[nn.Module]]:
    """The layers of "language", "vision", "audio" and "connector", as far as there are such, each
    in depth order."""
    parts: dict[str, list[nn.Module]] = {}
    part_of, part = _parts(network), "language"
    for layer in depth_order(network):
        pieces: dict[str, nn.ModuleList] = {}
        for child in layer.children():
            first = next(child.parameters(), None)
            part = (
                part if first is None else part_of[id(first)]
            )  # Dropout belongs to what it is in.
            pieces.setdefault(part, nn.ModuleList()).append(child)
        for name, piece in pieces.items():
            parts.setdefault(name, []).append(piece)
    return dict(parts)


def _parts(network: Any) -> dict[int, str]:
    """The part of each parameter, by the parameter's id."""
    towers = _towers(network)
    rest = "connector" if "language" in towers.values() else "language"
    spoken = [network.get_input_embeddings(), network.get_output_embeddings()]
    found = {
        id(p): "language" for module in spoken if module is not None for p in module.parameters()
    }
    for name, parameter in network.named_parameters():
        pieces = name.split(".")
        inside = [part for tower, part in towers.items() if name.startswith(f"{tower}.")]
        if _MERGERS & set(pieces) or (_EXTENSION in pieces and not inside):
            own = "connector"
        else:
            own = inside[0] if inside else rest
        found.setdefault(id(parameter), own)
    return found


def _towers(network: Any) -> dict[str, str]:
    """The part that each outermost module with a configuration of its own is, by its name."""
    own = {
        type(config): part
        for name, part in _TOWERS.items()
        if (config := getattr(network.config, name, None)) is not None
    }
    found: dict[str, str] = {}
    for name, module in network.named_modules():
        config = getattr(module, "config", None)
        inside = any(name.startswith(f"{tower}.") for tower in found)
        if name and not inside and hasattr(module, "get_input_embeddings") and type(config) in own:
            found[name] = own[type(config)]
    return found
