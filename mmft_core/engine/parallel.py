"""How several processes train one task: each holds the whole task (DDP) or a shard (FSDP2)."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator

from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from mmft_core.config.engine_config import EngineConfig
from mmft_core.contracts import Batch, Task
from mmft_core.contracts.returned import outputs_of
from mmft_core.distributed import comm
from mmft_core.engine.compute import Compute
from mmft_core.errors import IncompatibleError


class Parallel(ABC):
    """A task as the processes hold it for training.

    Attributes:
        trained: holds the parameters that an optimizer changes.
        model: computes the loss of a batch; set by `wrap`.
    """

    trained: Task
    model: nn.Module

    @abstractmethod
    def wrap(self, average: AveragedModel | None) -> None:
        """Prepare for training, after the trained parameters have been chosen.

        Args:
            average: the average of the weights, held in the same way as they are.
        """

    def loss(self, batch: Batch) -> Tensor:
        """The loss of this process's share of a forward pass."""
        loss: Tensor = self.model(batch)
        return loss

    @abstractmethod
    def no_sync(self, enabled: bool) -> contextlib.AbstractContextManager[None]:
        """Context of a forward and backward pass; if enabled, gradients are not synchronized.

        It is disabled for the last pass of a step, which averages gradients over the processes.
        """

    def update_eval_model(self, source: nn.Module) -> None:  # noqa: B027
        """Copy weights into the task that is evaluated and saved, where it is not the trained one.

        Args:
            source: the trained weights, or their average.
        """

    def offload(self) -> None:  # noqa: B027
        """Offload the evaluation copy to the CPU, if there is one."""


class Replicated(Parallel):
    """One process, or several that each hold the whole task, with Accelerate."""

    def __init__(
        self, task: Task, accelerator: Accelerator, compute: Compute, compiled: bool
    ) -> None:
        self.trained, self.accelerator = task, accelerator
        self.compute, self.compiled = compute, compiled

    def wrap(self, average: AveragedModel | None) -> None:
        # Not the task itself: its forward pass would compute in the precision of training for ever.
        loss = TrainingLoss(self.trained, self.compute)
        if self.compiled:
            # Not the task itself, which is also evaluated, in other shapes; and dropout draws the
            # same random numbers as without.
            loss.compile(options={"fallback_random": True})
        self.model = self.accelerator.prepare(loss)

    @contextlib.contextmanager
    def no_sync(self, enabled: bool) -> Iterator[None]:
        with self.accelerator.no_sync(self.model) if enabled else contextlib.nullcontext():
            yield


class TrainingLoss(nn.Module):
    """Computes the loss of a batch as a module, whose output FSDP2 hooks for the backward pass."""

    def __init__(self, task: Task, compute: Compute) -> None:
        super().__init__()
        self.task, self.compute = task, compute

    def forward(self, batch: Batch) -> Tensor:
        with self.compute.autocast():
            loss = outputs_of(self.task, batch).loss
        assert loss is not None
        return loss


def make_parallel(
    task: Task, config: EngineConfig, accelerator: Accelerator, compute: Compute
) -> Parallel:
    """Hold a task as the settings say.

    Raises:
        IncompatibleError: the task cannot be held in this way.
    """
    if config.parallel == "ddp" or not comm.several():
        return Replicated(task, accelerator, compute, config.compile)
    if config.tuning.changes:
        raise IncompatibleError(
            f"engine.tune = '{config.tune}' changes which weights are trained; "
            "engine.parallel=fsdp does not support that.",
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
            f"The {quantized[0]} backbone's weights are quantized, so they cannot be sharded.",
            hint="Give engine.parallel=ddp, or load the weights in full.",
        )
    from mmft_core.engine.sharded import Sharded  # Slow to import.

    return Sharded(task, accelerator, compute)
