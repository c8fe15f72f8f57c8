"""The state of a training, which checkpoints hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from mmft_core.config.plan import Recipe
from mmft_core.contracts import Task
from mmft_core.distributed import comm
from mmft_core.engine import checkpoint, kept_weights, tuning
from mmft_core.engine.compute import Compute
from mmft_core.engine.optim import build_optimizer, build_schedule
from mmft_core.engine.parallel import make_parallel
from mmft_core.errors import CheckpointError, first_line


@dataclass
class Progress:
    """The progress of a training.

    Attributes:
        step: optimizer steps done.
        samples: training samples seen so far.
        seconds: training time so far, including earlier sessions.
        waited: how many of these seconds were spent waiting for data.
        evaluated_step: the step of the last evaluation.
        best: the monitored metric at the best evaluation.
        best_loss: the val loss there; of equal values, the one with the lower loss is the best.
        evaluations_since_best: evaluations since the metric itself improved, for early stopping.
    """

    step: int = 0
    samples: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    evaluated_step: int = 0
    best: float | None = None
    best_loss: float | None = None
    best_step: int = 0
    evaluations_since_best: int = 0

    def evaluated(self, value: float | None, loss: float | None, best: bool) -> None:
        """Record an evaluation; an undefined value (None) is neither better nor worse."""
        self.evaluated_step = self.step
        if value is None:
            return
        improved = best and value != self.best
        self.evaluations_since_best = 0 if improved else self.evaluations_since_best + 1
        if best:
            self.best, self.best_loss, self.best_step = value, loss, self.step


class TrainingState:
    """Task, optimizer, schedule, average and progress of one training.

    Attributes:
        task: the task that is evaluated and saved.
        parallel: how the processes hold it for training.
        trained: the module whose parameters are trained: the task itself, unless it is sharded.
        optimizer: the optimizer, wrapped by Accelerate.
    """

    def __init__(
        self,
        task: Task,
        recipe: Recipe,
        accelerator: Accelerator,
        compute: Compute,
        total_steps: int,
    ) -> None:
        config = recipe.engine
        self.accelerator, self.progress = accelerator, Progress()
        self.tunings = config.tuning
        self.task = task.to(accelerator.device)
        self.parallel = make_parallel(task, config, accelerator, compute)
        self.in_shards = config.parallel == "fsdp"  # Also with one process, which may resume many.
        self.trained = self.parallel.trained
        # A copy of the task, so made before Accelerate wraps its forward pass.
        self.ema = AveragedModel(self.trained, avg_fn=_average(config.ema)) if config.ema else None
        if not self.tunings.changes:
            tuning.apply(self.trained, self.tunings, 0)  # DDP looks at it when it wraps the task.
        self.parallel.wrap(self.ema)
        self.raw_optimizer = build_optimizer(self.trained, recipe)
        # Groups may have other peaks, so `engine.lr` is scaled like the rate of the first.
        self.lr, self._peak = config.lr, float(self.raw_optimizer.param_groups[0]["lr"])
        self.schedule = build_schedule(self.raw_optimizer, recipe, total_steps)
        self.optimizer = accelerator.prepare(self.raw_optimizer)

    @property
    def eval_model(self) -> Task:
        """The task that is evaluated and saved: the averaged one if there is one."""
        if self.ema is None or self.trained is not self.task:
            return self.task
        assert isinstance(self.ema.module, Task)
        return self.ema.module

    @property
    def current_lr(self) -> float:
        """`engine.lr` after the schedule; groups of parameters may have other rates."""
        return self.lr * float(self.raw_optimizer.param_groups[0]["lr"]) / self._peak

    def update_eval_model(self) -> None:
        """Copy the trained weights into the model that is evaluated."""
        self.parallel.update_eval_model(self.trained if self.ema is None else self.ema.module)

    def train(self, epoch: int) -> None:
        """Put the task in training mode, with the layers that the epoch trains."""
        self.parallel.offload()
        self.trained.train()
        tuning.apply(self.trained, self.tunings, epoch)

    def save(self, folder: Path) -> None:
        """Write a checkpoint.

        Raises:
            StorageError: it cannot be written.
        """
        if self.in_shards:
            from mmft_core.engine import sharded_state  # Slow to import.

            sharded_state.save(self, folder)
            return
        if not comm.is_main():
            return
        scaler = self.accelerator.scaler
        state = {
            "progress": asdict(self.progress),
            "task": _kept(self.task, kept_weights.kept(self.task)),
            "optimizer": self.raw_optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "ema": self._ema_state(),
            "scaler": scaler.state_dict() if scaler is not None else None,
        }
        checkpoint.save(folder, self.progress.step, state)

    def _ema_state(self) -> dict[str, Tensor] | None:
        return None if self.ema is None else _kept(self.ema, self._kept_by_ema)

    def _kept_by_ema(self, key: str) -> bool:
        return kept_weights.kept(self.task)(key.removeprefix("module."))

    def restore(self, folder: Path) -> list[str]:
        """Restore the newest sound checkpoint; return remarks about damaged ones.

        Raises:
            CheckpointError: there is none.
        """
        if self.in_shards:
            from mmft_core.engine import sharded_state

            progress, remarks = sharded_state.restore(self, folder)
            self.progress = Progress(**progress)
            return remarks
        state, remarks = checkpoint.load_latest(folder)
        try:
            self._take(state)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise CheckpointError(
                f"The checkpoint in {folder} belongs to another run: {first_line(error)}."
            ) from error
        return remarks

    def _take(self, state: dict[str, Any]) -> None:
        """Load the content of a checkpoint."""
        self.progress = Progress(**state["progress"])
        _load(self.task, state["task"], kept_weights.kept(self.task))
        self.raw_optimizer.load_state_dict(state["optimizer"])
        _match_memory_format(self.raw_optimizer)
        self.schedule.load_state_dict(state["schedule"])
        if self.ema is not None:
            _load(self.ema, state["ema"], self._kept_by_ema)
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])


def _kept(module: nn.Module, keep: Callable[[str], bool]) -> dict[str, Tensor]:
    return {key: value for key, value in module.state_dict().items() if keep(key)}


def _load(module: nn.Module, state: dict[str, Tensor], keep: Callable[[str], bool]) -> None:
    """Raises:
    CheckpointError: the state is of another model.
    """
    result = module.load_state_dict(state, strict=False)
    strange = [*filter(keep, result.missing_keys), *result.unexpected_keys]
    if strange:
        raise CheckpointError(f"The checkpoint belongs to another model: '{strange[0]}' differs.")


def _match_memory_format(optimizer: torch.optim.Optimizer) -> None:
    """Lay the optimizer's tensors out in memory like their parameters (channels last).

    Fused optimizers walk through both in the order of memory.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if not isinstance(value, Tensor) or value.shape != parameter.shape:
                continue
            if value.stride() != parameter.stride():  # Else it may be memory of a special kind.
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Average with a decay that starts low, so that the initial weights are soon forgotten."""

    def average(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        n = int(count)
        return averaged.lerp(current, 1 - min(decay, (1 + n) / (10 + n)))

    return average
