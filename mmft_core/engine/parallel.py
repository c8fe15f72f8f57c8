"""How several processes train one task: each holds all of it (DDP), or a shard (FSDP2)."""

from __future__ import annotations

import contextlib
import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.optim.swa_utils import AveragedModel

from mmft_core.config.engine_config import EngineConfig
from mmft_core.contracts import Batch, Task
from mmft_core.contracts.returned import outputs_of
from mmft_core.distributed import comm
from mmft_core.engine.compute import Compute
from mmft_core.errors import IncompatibleError


class Parallel(ABC):
    """A task as it is trained.

    Attributes:
        trained: holds the parameters that an optimizer changes.
    """

    trained: Task

    @abstractmethod
    def wrap(self, average: AveragedModel | None) -> None:
        """Get ready to train, once it is settled which parameters are.

        Args:
            average: of the weights, which is held as they are.
        """

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """The loss of this process's share of a forward pass."""

    @abstractmethod
    def no_sync(self, enabled: bool) -> contextlib.AbstractContextManager[None]:
        """Around a forward and a backward pass: if enabled, gradients stay each process's own.

        The last pass of a step is without, and averages them over the processes.
        """

    @abstractmethod
    def update_eval_model(self, source: nn.Module) -> None:
        """Bring weights into the task that is evaluated and kept.

        Args:
            source: what was trained, or its average.
        """

    @abstractmethod
    def offload(self) -> None:
        """Offload the evaluation copy to the CPU."""


class Replicated(Parallel):
    """One process, or several of which each holds all of the task, by Accelerate."""

    def __init__(
        self, task: Task, accelerator: Accelerator, compute: Compute, compiled: bool
    ) -> None:
        self.trained, self.accelerator = task, accelerator
        self.compute, self.compiled = compute, compiled

    def wrap(self, average: AveragedModel | None) -> None:
        # Not the task itself: its forward pass would compute in the precision of training for ever.
        loss = _Loss(self.trained, self.compute)
        if self.compiled:
            # Not the task itself, which is also evaluated, in other shapes; and dropout draws the
            # same random numbers as without.
            loss.compile(options={"fallback_random": True})
        self.model = self.accelerator.prepare(loss)

    def loss(self, batch: Batch) -> Tensor:
        loss: Tensor = self.model(batch)
        return loss

    @contextlib.contextmanager
    def no_sync(self, enabled: bool) -> Iterator[None]:
        with self.accelerator.no_sync(self.model) if enabled else contextlib.nullcontext():
            yield

    def update_eval_model(self, source: nn.Module) -> None:
        """What is evaluated is what is trained, or its average."""

    def offload(self) -> None:
        """There is no copy."""


class Sharded(Parallel):
    """Parameters, their gradients and the optimizer's state in shards, by torch's FSDP2.

    What is trained is a copy of the task. The task itself stays an ordinary module, which is filled
    whenever it is to be evaluated or kept. A module in shards could not be evaluated here: each of
    its forward passes is done by all processes together, and these have unequal numbers of batches
    in evaluation, and of tokens in generation. Accelerate's FSDP has the same bounds, and has to be
    told the blocks by the names of classes; here backbones tell them by their layers.
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
        self.model = _Loss(self.trained, self.compute)
        _shard(self.model, self.trained, mesh)
        if average is not None:
            assert isinstance(average.module, Task)
            _shard(average, average.module, mesh)

    def loss(self, batch: Batch) -> Tensor:
        loss: Tensor = self.model(batch)
        return loss

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
        self.task.to(self.accelerator.device)
        kept = self.task.state_dict()
        for name, tensor in source.state_dict().items():
            whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
            name = name.removeprefix("module.")
            if name in kept:
                kept[name].copy_(whole)

    def offload(self) -> None:
        self.task.to("cpu")


class _Loss(nn.Module):
    """From a batch to its loss: a tensor, from which FSDP2 follows the way back."""

    def __init__(self, task: Task, compute: Compute) -> None:
        super().__init__()
        self.task, self.compute = task, compute

    def forward(self, batch: Batch) -> Tensor:
        with self.compute.autocast():
            loss = outputs_of(self.task, batch).loss
        assert loss is not None
        return loss


def _shard(whole: nn.Module, task: Task, mesh: DeviceMesh) -> None:
    """Shard each block of a task's backbones by itself, and what is left together.

    Args:
        whole: the task, or what holds it.
    """
    for modality in task.backbones:
        for block in _blocks(task.backbone(modality).layers()):
            fully_shard(block, mesh=mesh)
    fully_shard(whole, mesh=mesh, ignored_params=_scalars(task))


def _scalars(task: Task) -> set[nn.Parameter]:
    """Parameters that have no dimension to be divided along, and are whole on every process."""
    return {parameter for parameter in task.parameters() if parameter.ndim == 0}


def _blocks(layers: Sequence[nn.Module]) -> Iterator[nn.Module]:
    """What is called as a whole, of layers: neither lists nor single leaves.

    Leaves (embeddings, norms, output weights) are small or shared with others, and some are read
    rather than called.
    """
    for layer in layers:
        parts = layer.children() if isinstance(layer, nn.ModuleList) else [layer]
        for part in parts:
            if list(part.children()) and any(True for _ in part.parameters()):
                yield part


def make_parallel(
    task: Task, config: EngineConfig, accelerator: Accelerator, compute: Compute
) -> Parallel:
    """Hold a task as the settings want it.

    Raises:
        IncompatibleError: it cannot be.
    """
    if config.parallel == "ddp" or not comm.several():
        return Replicated(task, accelerator, compute, config.compile)
    if config.tuning.changes:
        raise IncompatibleError(
            f"engine.tune = '{config.tune}' changes what is trained, which shards do not follow.",
            hint="Give engine.parallel=ddp, or another --tune.",
        )
    if config.compile:
        raise IncompatibleError(
            "engine.compile does not work with engine.parallel=fsdp.",
            hint="Give engine.parallel=ddp, or leave out engine.compile.",
        )
    quantized = [m for m in task.backbones if task.backbone(m).quantized]
    if quantized:
        raise IncompatibleError(
            f"The {quantized[0]} backbone's weights are held in few bits, which cannot be sharded.",
            hint="Give engine.parallel=ddp, or load the weights in full.",
        )
    return Sharded(task, accelerator, compute)
