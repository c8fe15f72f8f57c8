"""Weights for other software: each network under its published names, the rest beside them.

`MODALITY/` is the network as its library loads it (`Backbone.published_model`): a folder of
transformers, or the state dict that torchvision's `load_state_dict` takes. `head.safetensors` is
what the task adds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmft_core import Registry
from mmft_core.contracts import WEIGHTS, PublishedModel, Task, Tensors
from mmft_core.errors import ExportError
from mmft_core.run import LoadedModel, artifacts
from mmft_export.formats import Exporter, Job, Written

_HEAD = "head.safetensors"


class Safetensors(Exporter):
    """Weights without graphs."""

    def write(self, job: Job, folder: Path) -> Written:
        files, notes = write(job.model.task, folder)
        return Written(files, {"torch": torch.__version__}, notes=tuple(notes))

    def load(
        self, folder: Path, registry: Registry, settings: Mapping[str, Any] | None = None
    ) -> LoadedModel:
        model = artifacts.load_empty(folder, registry, settings)
        read(model.task, folder)
        return model


def write(task: Task, folder: Path) -> tuple[list[Path], list[str]]:
    """Write all weights of a task.

    Returns:
        the files, and what users of the folder must know.
    """
    files, models = [], _models(task)
    for modality, model in models.items():
        target = folder / modality
        target.mkdir()
        model.save(target)
        files.append(target / WEIGHTS)
    held = _places(tensor for model in models.values() for tensor in model.tensors.values())
    state = task.state_dict()
    rest = {k: t for k, t in state.items() if _place(t) not in held or _is_own(k)}
    if rest:
        # Each a copy, for safetensors takes no tensors that share memory.
        copies = {k: t.detach().clone().contiguous() for k, t in rest.items()}
        save_file(copies, folder / _HEAD, metadata={"format": "pt"})
        files.append(folder / _HEAD)
    return files, [model.note for model in models.values() if model.note]


def read(task: Task, folder: Path) -> None:
    """Fill in what `write` wrote.

    Raises:
        ExportError: it does not fit the task.
    """
    state = task.state_dict()
    try:
        read = _filled(state, load_file(folder / _HEAD) if (folder / _HEAD).is_file() else {})
        for modality, model in _models(task).items():
            names = {**model.former, **model.tensors}
            read |= _filled(names, model.read(folder / modality))
    except (OSError, RuntimeError, LookupError, SafetensorError) as error:
        raise ExportError(f"The weights in {folder} do not fit the task: {error}.") from error
    missing = [key for key, tensor in state.items() if _place(tensor) not in read]
    if missing:
        raise ExportError(f"The weights in {folder} do not fit the task, by '{missing[0]}'.")


def _models(task: Task) -> dict[str, PublishedModel]:
    return {m: task.backbone(m).published_model(task) for m in task.backbones}


def _is_own(key: str) -> bool:
    """Whether it is of the task itself, and not of its backbones."""
    return not key.startswith("backbones.")


def _filled(names: Tensors, given: Tensors) -> set[tuple[int, tuple[int, ...]]]:
    """Fill tensors with those of the same names, and tell which were filled.

    Raises:
        KeyError, RuntimeError: a name is unknown, or a shape another.
    """
    for name, tensor in given.items():
        if names[name].shape != tensor.shape:
            raise RuntimeError(f"'{name}' has the shape {tuple(tensor.shape)}")
        names[name].copy_(tensor)
    return _places(names[name] for name in given)


def _places(tensors: Iterable[Tensor]) -> set[tuple[int, tuple[int, ...]]]:
    return {_place(tensor) for tensor in tensors}


def _place(tensor: Tensor) -> tuple[int, tuple[int, ...]]:
    """What tensors have in common that are the same memory by several names."""
    return tensor.data_ptr(), tuple(tensor.shape)
