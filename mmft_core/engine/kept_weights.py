"""Which weights are saved with a model, and loading base weights that are not.

If the base of a backbone is not saved, its `loaded` has a digest. Models and checkpoints then hold
only what training adds (adapters, the head); the base is loaded again from its source and compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mmft_core.contracts import Backbone, Task
from mmft_core.engine.lora import is_adapter, is_fresh, without_adapters
from mmft_core.errors import ConfigError, WeightsError
from mmft_core.utils.files import user_path
from mmft_core.weights import LoadedWeights, WeightsRequest


def leave_out(backbone: Backbone, reason: str) -> None:
    """Mark a backbone's current weights as not to be saved with the model, unless they are already.

    Args:
        reason: the setting that requires this, for the message.

    Raises:
        ConfigError: the weights are random, so they could not be loaded again.
    """
    loaded = backbone.loaded
    if loaded.digest:
        return
    if loaded.source == "random":
        raise ConfigError(
            f"{reason} keeps no base weights, but these are random and could not be loaded again.",
            hint="Load pretrained ones, or keep the whole model: engine.lora.save = merged.",
        )
    path = user_path(loaded.source)
    source = str(path.resolve()) if path.exists() else loaded.source
    backbone.loaded = replace(loaded, source=source, digest=digest(backbone))


def fetch_again(loaded: LoadedWeights, modality: str) -> WeightsRequest:
    """A request for exactly the weights that were loaded before."""
    choice = "pretrained" if loaded.source == "published" else loaded.source
    return WeightsRequest(choice, modality)


def check_same(backbone: Backbone, loaded: LoadedWeights) -> None:
    """Check that a backbone has the same weights as before.

    Raises:
        WeightsError: the weights differ.
    """
    if digest(backbone) != loaded.digest:
        raise WeightsError(
            f"The base weights ({loaded.detail or loaded.source}) have changed since adapters "
            "or a head were trained on them.",
            hint="Restore the original weights; the model holds only what was added to them.",
        )
    backbone.loaded = loaded


def digest(backbone: Backbone) -> str:
    """The SHA-256 of all loaded weights and buffers; adapters make no difference."""
    total = hashlib.sha256()
    named = {**dict(backbone.named_parameters()), **dict(backbone.named_buffers())}
    tensors = {
        without_adapters(k): v
        for k, v in named.items()
        if not is_adapter(k) and not is_fresh(backbone, k)
    }
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        plain = tensor.detach().cpu().contiguous().reshape(-1)
        total.update(plain.view(torch.uint8).numpy().data)
    return total.hexdigest()


def kept(task: Task, *, adapters: bool = True) -> Callable[[str], bool]:
    """The keys of the task's state that are saved: all except omitted base weights.

    Args:
        adapters: whether to include adapters on such weights.
    """
    places = {f"backbones.{m}.": task.backbone(m) for m in task.backbones}
    left_out = {place: backbone for place, backbone in places.items() if backbone.loaded.digest}

    def keep(key: str) -> bool:
        for place, backbone in left_out.items():
            if key.startswith(place):
                own = key.removeprefix(place)
                return is_fresh(backbone, own) or (adapters and is_adapter(own))
        return True

    return keep


def write(task: Task, path: Path, *, adapters: bool = True) -> None:
    """Write the saved part of a task's weights as safetensors; see `kept`."""
    keep = kept(task, adapters=adapters)
    write_tensors({k: v for k, v in task.state_dict().items() if keep(k)}, path)


def read(task: Task, path: Path, *, adapters: bool = True) -> None:
    """Read what `write` wrote.

    Raises:
        ValueError: it does not fit the task.
    """
    lacking, unknown = read_tensors(task, path)
    strange = [*filter(kept(task, adapters=adapters), lacking), *unknown]
    if strange:
        raise ValueError(f"{path.name} does not fit the task: '{strange[0]}' differs")


def write_tensors(state: Mapping[str, Tensor], path: Path) -> None:
    """Write a module's state as safetensors.

    A tensor with several names is written once, and the file's metadata list the others. A view of
    a larger tensor is written by itself.
    """
    names: dict[Any, str] = {}
    tensors: dict[str, Tensor] = {}
    others: dict[str, str] = {}
    for name, tensor in state.items():
        first = names.setdefault(_place(tensor, name), name)
        if first != name:
            others[name] = first
            continue
        whole = tensor.is_contiguous() and tensor.nbytes == tensor.untyped_storage().nbytes()
        own = tensor.detach() if whole else tensor.detach().clone().contiguous()
        tensors[name] = own.cpu()
    save_file(tensors, path, metadata=others or None)


def read_tensors(module: nn.Module, path: Path) -> tuple[list[str], list[str]]:
    """Read what `write_tensors` wrote into a module; return the missing and unknown names.

    Raises:
        RuntimeError: a tensor has another shape.
    """
    found = module.load_state_dict(load_file(path), strict=False)
    own, missing = module.state_dict(), set(found.missing_keys)
    there = {_place(tensor, name) for name, tensor in own.items() if name not in missing}
    lacking = [name for name in found.missing_keys if _place(own[name], name) not in there]
    return lacking, found.unexpected_keys


def _place(tensor: Tensor, name: str) -> Any:
    """What all names of one tensor have in common."""
    if not tensor.numel() or tensor.is_meta:
        return name
    return tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()
