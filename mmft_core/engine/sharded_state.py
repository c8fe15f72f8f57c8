"""The content of a sharded checkpoint: the tensors of a training by name, and the rest as JSON.

Names are those of parameters, so nothing depends on the number of processes.

torch's `set_optimizer_state_dict` uses the same names, but creates optimizer state by taking a step
with zero gradients, which a plugin's optimizer need not support, and takes shards from memory. Here
every process reads its shards from the file into empty tensors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from mmft_core.engine import kept_weights, sharded_checkpoint
from mmft_core.errors import IncompatibleError

if TYPE_CHECKING:
    from mmft_core.engine.state import TrainingState


def save(training: TrainingState, folder: Path) -> None:
    """Write a checkpoint, on all processes together.

    Raises:
        IncompatibleError: the optimizer's state is not sharded like its weights.
        StorageError: it cannot be written.
    """
    scaler = training.accelerator.scaler
    _check_shapes(training)
    moments = {
        name: {key: _scalar(value) for key, value in values.items()}
        for name, values in _optimizer(training)
    }
    groups = training.raw_optimizer.state_dict()["param_groups"]
    plain = {
        "progress": asdict(training.progress),
        "moments": moments,
        "groups": [{k: v for k, v in group.items() if k != "params"} for group in groups],
        "schedule": training.schedule.state_dict(),
        "scaler": scaler.state_dict() if scaler is not None else None,
    }
    tensors = dict(_weights(training)) | {
        f"optimizer/{name}/{key}": value
        for name, values in _optimizer(training)
        for key, value in values.items()
        if _scalar(value) is None
    }
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    sharded_checkpoint.save(folder, training.progress.step, whole, plain)


def restore(training: TrainingState, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Go back to the newest sound checkpoint.

    Returns:
        its progress, and remarks about damaged ones.

    Raises:
        CheckpointError: there is none.
    """
    path, plain, remarks = sharded_checkpoint.load_latest(folder)
    tensors = dict(_weights(training))
    optimizer = training.raw_optimizer
    for name, parameter in training.trained.named_parameters():
        for key, value in plain["moments"].get(name, {}).items():
            if value is None:
                value = torch.empty_like(parameter, requires_grad=False)
                tensors[f"optimizer/{name}/{key}"] = value
            else:
                value = torch.tensor(value, device=parameter.device)
            optimizer.state[parameter][key] = value
    sharded_checkpoint.read(path, tensors)
    for group, saved in zip(optimizer.param_groups, plain["groups"], strict=True):
        group.update(saved)
    training.schedule.load_state_dict(plain["schedule"])
    if training.accelerator.scaler is not None:
        training.accelerator.scaler.load_state_dict(plain["scaler"])
    return plain["progress"], remarks


def _weights(training: TrainingState) -> Iterator[tuple[str, Tensor]]:
    """The saved weights and their averages; only one of those that share memory."""
    keep = kept_weights.kept(training.trained)
    seen: set[int] = set()
    modules = {"task": training.trained, "average": training.ema}
    for kind, module in modules.items():
        for name, tensor in module.state_dict().items() if module is not None else ():
            place = (tensor.to_local() if isinstance(tensor, DTensor) else tensor).data_ptr()
            if keep(name.removeprefix("module.")) and (not place or place not in seen):
                seen.add(place)
                # Files of parts have no place for tensors without a dimension.
                yield f"{kind}/{name}", tensor if tensor.ndim else tensor.view(1)


def _optimizer(training: TrainingState) -> Iterator[tuple[str, dict[str, Any]]]:
    """The optimizer's state for each parameter."""
    state = training.raw_optimizer.state
    for name, parameter in training.trained.named_parameters():
        if parameter in state:
            yield name, state[parameter]


def _check_shapes(training: TrainingState) -> None:
    """Raises:
    IncompatibleError: the optimizer keeps tensors of other shapes than its weights have.
    """
    parameters = dict(training.trained.named_parameters())
    for name, values in _optimizer(training):
        for key, value in values.items():
            if _scalar(value) is None and value.shape != parameters[name].shape:
                raise IncompatibleError(
                    f"The optimizer's '{key}' of '{name}' has a different shape from the weight, "
                    "so it cannot be sharded.",
                    hint="Give engine.parallel=ddp, or another engine.optimizer.",
                )


def _scalar(value: Any) -> Any:
    """A value for JSON; None for a tensor that is saved with the tensors."""
    if not isinstance(value, Tensor):
        return value
    return None if value.ndim else value.item()
