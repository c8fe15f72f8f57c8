"""The training loop: one for every task, on Hugging Face Accelerate.

Read `Engine.fit` first: it is the loop. It evaluates when that is due, stops when that is due,
and otherwise takes an optimizer step. All randomness of a step follows from the seed and the
step's number, so that a training that is resumed from a checkpoint repeats bit by bit what an
uninterrupted one does.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from safetensors.torch import save_model
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from mmft_core import checkpoint, tuning
from mmft_core.config import EngineConfig
from mmft_core.contracts import Batch, Metric, Task
from mmft_core.data import (
    PreparedSplit,
    TrainingKeys,
    Windows,
    batches,
    choose_workers,
    evaluation_loader,
    seed_everything,
    training_loader,
)
from mmft_core.errors import NonFiniteLossError
from mmft_core.evaluation import Evaluation, InterruptedEvaluationError, evaluate
from mmft_core.files import replacing
from mmft_core.interrupt import StopRequest
from mmft_core.optim import build_optimizer, build_schedule, choose_precision
from mmft_core.tracking import Evaluated, Sink, Start, Step

Ending = Literal["finished", "early", "interrupted"]


@dataclass
class Progress:
    """How far a training is. Part of every checkpoint."""

    step: int = 0
    samples: int = 0
    seconds: float = 0.0
    evaluated_step: int = 0
    best: float | None = None
    best_step: int = 0
    evaluations_since_best: int = 0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a training ended."""

    ending: Ending
    progress: Progress
    total_steps: int
    best_weights: Path | None


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """The figure that chooses the best model, and its direction."""

    name: str
    higher_is_better: bool

    def better(self, value: float, best: float | None) -> bool:
        if math.isnan(value):
            return False
        return best is None or (value > best if self.higher_is_better else value < best)


def make_accelerator(config: EngineConfig) -> Accelerator:
    """Make the Accelerator: it knows device, precision and processes."""
    probe = Accelerator(cpu=config.device == "cpu", rng_types=[])
    precision = choose_precision(config.precision, probe.device)
    if precision == probe.mixed_precision:
        return probe
    probe.state._reset_state()
    gradual = tuning.Tuning.parse(config.tune).changes
    return Accelerator(
        cpu=config.device == "cpu",
        mixed_precision=precision,
        rng_types=[],
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=gradual)],
    )


class Engine:
    """Trains one task; `fit` is the loop, the rest are its parts in the order of their use."""

    def __init__(
        self,
        task: Task,
        config: EngineConfig,
        *,
        metrics: Mapping[str, Metric],
        monitor: Monitor,
        accelerator: Accelerator,
        folder: Path,
        sink: Sink,
    ) -> None:
        """Args:
        folder: for the checkpoints.
        sink: hears what happens.
        """
        self.task, self.config, self.metrics, self.monitor = task, config, metrics, monitor
        self.accelerator, self.folder, self.sink = accelerator, folder, sink
        self.tuning = tuning.Tuning.parse(config.tune)
        self.workers = choose_workers(config.workers, accelerator.num_processes)
        self.progress = Progress()
        self._pending: list[tuple[int, Tensor, list[str]]] = []

    @property
    def best_weights(self) -> Path:
        return self.folder / "best.safetensors"

    def fit(self, train: PreparedSplit, val: PreparedSplit | None, *, resume: bool) -> Outcome:
        """Train to the end, to an early stop, or until Ctrl-C or SIGTERM.

        Args:
            resume: go on from the newest checkpoint in the folder.

        Raises:
            NonFiniteLossError: names the step and the samples.
            SampleError: a sample cannot be read any more.
            CheckpointError: there is nothing to resume from.
            StorageError: a checkpoint cannot be written.
        """
        windows = self._set_up(train)
        if resume:
            self._restore()
        self._announce(windows, len(train))
        stream = batches(
            training_loader(
                train,
                TrainingKeys(windows, self.progress.step, self.total_steps),
                workers=self.workers,
                pin=self.accelerator.device.type == "cuda",
            )
        )
        started = time.perf_counter() - self.progress.seconds
        ending: Ending = "finished"
        with StopRequest() as stop, contextlib.closing(stream):
            self._enter_epoch(windows)
            while True:
                self.progress.seconds = time.perf_counter() - started
                if val is not None and self._evaluation_is_due(windows):
                    with contextlib.suppress(InterruptedEvaluationError):
                        self._evaluate(val, windows, stop)
                if stop:
                    ending = "interrupted"
                    break
                if self.config.patience and (
                    self.progress.evaluations_since_best >= self.config.patience
                ):
                    ending = "early"
                    break
                if self.progress.step >= self.total_steps:
                    break
                self._step(stream, windows)
                self.progress.seconds = time.perf_counter() - started
                if self._checkpoint_is_due():
                    self._save()
        if ending == "interrupted":
            self._save()
        best = self.best_weights if self.progress.best is not None else None
        return Outcome(
            ending=ending, progress=self.progress, total_steps=self.total_steps, best_weights=best
        )

    # --- setting up -----------------------------------------------------------------------------

    def _set_up(self, train: PreparedSplit) -> Windows:
        config, accelerator = self.config, self.accelerator
        windows = Windows(
            len(train),
            config.batch_size,
            config.accumulate,
            config.seed,
            accelerator.process_index,
            accelerator.num_processes,
        )
        self.total_steps = config.steps or config.epochs * windows.steps_per_epoch
        self.ema = (
            AveragedModel(self.task, avg_fn=_warmed_ema(config.ema)).to(accelerator.device)
            if config.ema
            else None
        )
        if not self.tuning.changes:
            tuning.apply(self.task, self.tuning, 0)
        self.optimizer = build_optimizer(self.task.to(accelerator.device), config)
        self.schedule = build_schedule(self.optimizer, config, self.total_steps)
        self.model, self.prepared_optimizer = accelerator.prepare(self.task, self.optimizer)
        return windows

    def _announce(self, windows: Windows, samples: int) -> None:
        self.sink.start(
            Start(
                step=self.progress.step,
                total_steps=self.total_steps,
                steps_per_epoch=windows.steps_per_epoch,
                samples=samples,
                precision=self.accelerator.mixed_precision.replace("no", "fp32"),
                device=str(self.accelerator.device),
            )
        )

    def _enter_epoch(self, windows: Windows) -> None:
        """Put the task in training mode, with the layers that the epoch trains."""
        self.model.train()
        tuning.apply(self.task, self.tuning, windows.epoch_of(self.progress.step))

    # --- one optimizer step ---------------------------------------------------------------------

    def _step(self, stream: Iterator[Batch], windows: Windows) -> None:
        step, accelerator = self.progress.step, self.accelerator
        if step and step % windows.steps_per_epoch == 0:
            self._enter_epoch(windows)
        window = [next(stream) for _ in range(windows.passes(step))]
        # The loss is the mean over the whole window, over whatever passes and processes it is cut.
        scale = accelerator.num_processes / windows.window_size(step)
        seed_everything(self.config.seed, step, accelerator.process_index)
        loss = torch.zeros((), device=accelerator.device)
        for number, batch in enumerate(window):
            last = number == len(window) - 1
            with contextlib.nullcontext() if last else accelerator.no_sync(self.model):
                outputs = self.model(batch.to(accelerator.device))
                share = outputs.loss * (len(batch) * scale)
                accelerator.backward(share)
            loss += share.detach()
        self._pending.append((step + 1, loss, [i for batch in window for i in batch.ids]))
        if accelerator.device.type == "cpu" or len(self._pending) >= self.config.log_every:
            self._report_losses(windows)
        if self.config.clip_norm is not None:
            accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.prepared_optimizer.step()
        self.schedule.step()
        self.prepared_optimizer.zero_grad()
        if self.ema is not None:
            self.ema.update_parameters(self.task)
        self.progress.step += 1
        self.progress.samples += windows.window_size(step)

    def _report_losses(self, windows: Windows) -> None:
        """Look at the losses since the last look, which on a GPU waits for it to catch up.

        Raises:
            NonFiniteLossError: one is NaN or infinite.
        """
        if not self._pending:
            return
        losses = torch.stack([loss for _, loss, _ in self._pending]).tolist()
        for (step, _, ids), loss in zip(self._pending, losses, strict=True):
            if not math.isfinite(loss):
                raise NonFiniteLossError(step, loss, ids)
        step = self._pending[-1][0]
        self._pending.clear()
        self.sink.step(
            Step(
                step=step,
                epoch=windows.epoch_of(step - 1) + 1,
                loss=sum(losses) / len(losses),
                lr=float(self.schedule.get_last_lr()[-1]),
                samples=self.progress.samples + windows.window_size(step - 1),
                seconds=self.progress.seconds,
            )
        )

    # --- evaluation -----------------------------------------------------------------------------

    def _evaluation_is_due(self, windows: Windows) -> bool:
        step, every = self.progress.step, self.config.eval_every or windows.steps_per_epoch
        boundary = step % every == 0 or step == self.total_steps
        return boundary and step > self.progress.evaluated_step

    def _evaluate(self, val: PreparedSplit, windows: Windows, stop: StopRequest) -> None:
        """Judge the model on the validation split and keep it if it is the best so far.

        Raises:
            InterruptedEvaluationError: by Ctrl-C or SIGTERM; a resumed training evaluates again.
        """
        self._report_losses(windows)
        evaluation = self.evaluate(val, "val", stop=lambda: bool(stop))
        progress, value = self.progress, evaluation.figure(self.monitor.name)
        best = self.monitor.better(value, progress.best)
        progress.evaluated_step = progress.step
        progress.evaluations_since_best = 0 if best else progress.evaluations_since_best + 1
        if best:
            progress.best, progress.best_step = value, progress.step
            if self.accelerator.is_main_process:
                with replacing(self.best_weights) as temporary:
                    save_model(self.judged, str(temporary))
        epoch = windows.epoch_of(progress.step - 1) + 1
        self.sink.evaluated(
            Evaluated(
                step=progress.step, epoch=epoch, split="val", evaluation=evaluation, best=best
            )
        )
        if self.config.checkpoint_every is None and progress.step < self.total_steps:
            self._save()
        self._enter_epoch(windows)

    @property
    def judged(self) -> Task:
        """The task that is evaluated and kept: the averaged one where there is one."""
        task = self.ema.module if self.ema is not None else self.task
        assert isinstance(task, Task)
        return task

    def evaluate(
        self,
        data: PreparedSplit,
        split: str,
        *,
        examples: int = 0,
        stop: Any = lambda: False,
    ) -> Evaluation:
        """Judge the task on a split, in the engine's precision and on all its processes."""
        done = 0

        def on_batch(samples: int) -> None:
            nonlocal done
            done += samples
            self.sink.evaluating(split, done, len(data))

        loader = evaluation_loader(
            data,
            self.config.batch_size,
            workers=self.workers,
            pin=self.accelerator.device.type == "cuda",
            rank=self.accelerator.process_index,
            world=self.accelerator.num_processes,
        )
        return evaluate(
            self.judged,
            loader,
            self.metrics,
            self.accelerator,
            examples=examples,
            on_batch=on_batch,
            stop=stop,
        )

    # --- checkpoints ----------------------------------------------------------------------------

    def _checkpoint_is_due(self) -> bool:
        every = self.config.checkpoint_every
        return every is not None and self.progress.step % every == 0

    def _save(self) -> None:
        if not self.accelerator.is_main_process:
            return
        scaler = self.accelerator.scaler
        checkpoint.save(
            self.folder,
            self.progress.step,
            {
                "progress": asdict(self.progress),
                "task": self.task.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "schedule": self.schedule.state_dict(),
                "ema": self.ema.state_dict() if self.ema is not None else None,
                "scaler": scaler.state_dict() if scaler is not None else None,
            },
        )

    def _restore(self) -> None:
        state, remarks = checkpoint.load_latest(self.folder)
        for remark in remarks:
            self.sink.say(f"{remark} The one before it is used.")
        self.progress = Progress(**state["progress"])
        self.task.load_state_dict(state["task"])
        self.optimizer.load_state_dict(state["optimizer"])
        _match_memory_format(self.optimizer)
        self.schedule.load_state_dict(state["schedule"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])


def _match_memory_format(optimizer: torch.optim.Optimizer) -> None:
    """Lay the optimizer's tensors out in memory like their parameters (channels last).

    Fused optimizers walk through both in the order of memory.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _warmed_ema(decay: float) -> Any:
    """Average with a decay that starts low, so that the first random weights are soon forgotten."""

    def average(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        n = int(count)
        return averaged.lerp(current, 1 - min(decay, (1 + n) / (10 + n)))

    return average
