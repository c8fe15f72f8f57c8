"""The weights of timm's networks: published ones, and files that have them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import constants, try_to_load_from_cache
from mmft_core.errors import WeightsError, first_line
from mmft_core.weights import (
    LoadedWeights,
    StateDict,
    WeightsRequest,
    ensure_reachable,
    fill,
    read_weights,
)
from torch import nn

_FILES = ("model.safetensors", "open_clip_model.safetensors", "pytorch_model.bin")
"""What timm looks for on the Hub, where no other name is given."""


def load(
    body: nn.Module, name: str, sized: Mapping[str, int], wanted: WeightsRequest
) -> LoadedWeights:
    """Fill a network with the weights that were asked for.

    Args:
        sized: what it was built with for pictures of another size than the published.

    Raises:
        WeightsError: they cannot be had, or do not fit.
    """
    source = body.pretrained_cfg
    classifier = source.get("classifier") or ()
    head = tuple(f"{h}." for h in ((classifier,) if isinstance(classifier, str) else classifier))

    def local(path: Path) -> StateDict:
        state = {
            key.removeprefix("body."): value
            for key, value in read_weights(path, wanted.modality).items()
        }
        return _translated(name, sized, {k: v for k, v in state.items() if not k.startswith(head)})

    there = source.get("hf_hub_id") or source.get("url")
    state, loaded = wanted.find(
        published=(lambda: (_published(name, sized, source), _named(source))) if there else None,
        local=local,
    )
    if state is not None:
        fill(body, state, loaded.detail or loaded.source, head)
    return loaded


def _named(source: Mapping[str, Any]) -> str:
    """What published weights are called; on the Hub, by their id first."""
    return f"{source['hf_hub_id']} of timm" if source.get("hf_hub_id") else str(source["url"])


def _published(name: str, sized: Mapping[str, int], source: Mapping[str, Any]) -> StateDict:
    """The default weights as timm loads them, from its cache or by download.

    Raises:
        WeightsError: they are not in the cache and cannot be downloaded.
    """
    if not _cached(source):
        hub = source.get("hf_hub_id")
        file = source.get("hf_hub_filename") or "config.json"
        ensure_reachable(
            f"{constants.ENDPOINT}/{hub}/resolve/main/{file}" if hub else source["url"]
        )
    try:
        return timm.create_model(name, pretrained=True, num_classes=0, **sized).state_dict()
    except (OSError, RuntimeError, ValueError) as error:
        raise WeightsError(f"{_named(source)} cannot be loaded: {first_line(error)}.") from None


def _cached(source: Mapping[str, Any]) -> bool:
    hub = source.get("hf_hub_id")
    if not hub:
        return (Path(torch.hub.get_dir()) / "checkpoints" / Path(source["url"]).name).is_file()
    files = (source["hf_hub_filename"],) if source.get("hf_hub_filename") else _FILES
    return any(isinstance(try_to_load_from_cache(hub, file), str) for file in files)


def _translated(name: str, sized: Mapping[str, int], state: StateDict) -> StateDict:
    """What timm makes of a state dict: its names, and its position embeddings for another size."""
    overlay = {"state_dict": dict(state), "num_classes": 0, "custom_load": False, "source": ""}
    with contextlib.suppress(Exception):  # It does not fit; the check that follows says in what.
        return timm.create_model(
            name, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay, **sized
        ).state_dict()
    return state
