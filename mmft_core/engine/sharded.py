"""A task divided into shards, one per process, with torch's FSDP2."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.optim.swa_utils import AveragedModel

from mmft_core.contracts import Task
from mmft_core.distributed import comm
from mmft_core.engine.compute import Compute
from mmft_core.engine.parallel import Parallel, TrainingLoss


class Sharded(Parallel):
    """Parameters, gradients and optimizer state in shards, with torch's FSDP2.

    A copy of the task is trained. The task itself remains an ordinary module, which is filled
    whenever it is evaluated or saved. A sharded module could not be evaluated here: all processes
    must take part in each of its forward passes, but they have different numbers of batches in
    evaluation, and of tokens in generation. Accelerate's FSDP has the same limits and needs the
    class names of blocks; here the layers of backbones define the blocks.
    """

    def __init__(self, task: Task, accelerator: Accelerator, compute: Compute) -> None:
        self.task, self.accelerator, self.compute = task, accelerator, compute
        self.trained = copy.deepcopy(task)
        for parameter in self.trained.parameters():
            parameter.data = parameter.data.contiguous()  # Shards have no memory formats.
        task.to("cpu")

    def wrap(self, average: AveragedModel | None) -> None:
        device = self.accelerator.device.type
        mesh = init_device_mesh(device, (comm.count(),))
        self.model = TrainingLoss(self.trained, self.compute)
        _shard(self.model, self.trained, mesh)
        if average is not None:
            assert isinstance(average.module, Task)
            _shard(average, average.module, mesh)

    @contextlib.contextmanager
    def no_sync(self, enabled: bool) -> Iterator[None]:
        assert isinstance(self.model, FSDPModule)
        self.model.set_requires_gradient_sync(not enabled)
        yield
        for scalar in () if enabled else _scalars(self.trained):
            if scalar.grad is not None:
                dist.all_reduce(scalar.grad.div_(comm.count()))

    @torch.no_grad()
    def update_eval_model(self, source: nn.Module) -> None:
        # One tensor at a time, into the copy that is there: torch's `get_model_state_dict` would
        # gather a second whole model on every device, or one on the first rank alone, while every
        # rank evaluates.
        self.task.to(self.accelerator.device)
        kept = self.task.state_dict()
        for name, tensor in source.state_dict().items():
            whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
            name = name.removeprefix("module.")
            if name in kept:
                kept[name].copy_(whole)

    def offload(self) -> None:
        self.task.to("cpu")


def _shard(whole: nn.Module, task: Task, mesh: DeviceMesh) -> None:
    """Shard each block of a task's backbones separately, and the rest together.

    Args:
        whole: the task, or the module that contains it.
    """
    for modality in task.backbones:
        for block in _blocks(task.backbone(modality).layers()):
            fully_shard(block, mesh=mesh)
    fully_shard(whole, mesh=mesh, ignored_params=_scalars(task))


def _scalars(task: Task) -> set[nn.Parameter]:
    """Parameters without a dimension to divide; every process holds them whole."""
    return {parameter for parameter in task.parameters() if parameter.ndim == 0}


def _blocks(layers: Sequence[nn.Module]) -> Iterator[nn.Module]:
    """The modules of layers that are called as a whole: neither lists nor single leaves.

    Leaves (embeddings, norms, output weights) are small or shared with others, and some are read
    rather than called.
    """
    for layer in layers:
        parts = layer.children() if isinstance(layer, nn.ModuleList) else [layer]
        for part in parts:
            if list(part.children()) and any(True for _ in part.parameters()):
                yield part
