"""The training loop: one for every task, on Hugging Face Accelerate.

Read `Engine.fit` first: it is the whole loop. All randomness of a step follows from the seed and
the step number, so a training resumed from a checkpoint is bit-identical to an uninterrupted one.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from mmft_core.config.plan import Recipe
from mmft_core.contracts import Batch, Metric, Task
from mmft_core.contracts.callbacks import Callback, Evaluated, TrainStart, TrainStep
from mmft_core.distributed import comm
from mmft_core.distributed.signals import StopRequest
from mmft_core.engine import kept_weights
from mmft_core.engine.compute import Compute, check_compiler
from mmft_core.engine.evaluation import Evaluation, InterruptedEvaluationError, evaluate
from mmft_core.engine.lone_values import use_running_statistics
from mmft_core.engine.losses import Losses
from mmft_core.engine.metrics_log import log_every
from mmft_core.engine.monitor import Monitor
from mmft_core.engine.state import Progress, TrainingState
from mmft_core.engine.thread_watch import ThreadWatch
from mmft_core.errors import ConfigError, OutOfMemoryError
from mmft_core.loading.loaders import Loader, batches, evaluation_loader, training_loader
from mmft_core.loading.prepared import PreparedSplit, seed_everything
from mmft_core.loading.sampler_choice import choose_batch_sampler
from mmft_core.precision import Inference
from mmft_core.utils.files import replacing
from mmft_core.utils.memory_errors import out_of_memory
from mmft_core.utils.numbers import counted

Ending = Literal["finished", "early", "interrupted"]


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """What `Engine.fit` returns: how the training ended."""

    ending: Ending
    progress: Progress
    total_steps: int
    best_weights: Path | None


class Engine:
    """Trains one task. `fit` is the loop; the methods that it calls follow in order of use."""

    def __init__(
        self,
        task: Task,
        train: PreparedSplit,
        val: PreparedSplit | None,
        recipe: Recipe,
        *,
        metrics: Mapping[str, Metric],
        monitor: Monitor,
        accelerator: Accelerator,
        folder: Path,
        callback: Callback,
        begun: Mapping[str, Any] | None = None,
    ) -> None:
        """Args:
        val: used to choose the best model; without it the last one is kept.
        recipe: a plan, or its part that concerns training.
        metrics: metrics by name.
        folder: folder for checkpoints and the best weights.
        callback: receives the events of the training.
        begun: if the training is resumed, how it computed when it started (`Compute.record`).
        """
        self.train, self.val, self.config = train, val, recipe.engine
        config = recipe.engine
        if config.eval_samples is not None and task.compares:
            raise ConfigError(
                f"engine.eval_samples = {config.eval_samples} does not suit "
                f"{task.component or 'the task'}: its loss compares the samples of a batch, so all "
                "of them have to be evaluated in the same way.",
                hint="Leave it out.",
            )
        self.metrics, self.monitor = metrics, monitor
        self.accelerator, self.folder, self.callback = accelerator, folder, callback
        self.inference = Inference.of(config.precision, accelerator.device)
        check_compiler(config, accelerator.device)
        self.compute = Compute.of(accelerator, config, begun)
        self.batch_sampler = choose_batch_sampler(train, task, config)
        use_running_statistics(task, callback.on_message)
        self.steps_per_epoch = self.batch_sampler.steps_per_epoch
        self.total_steps = config.steps or config.epochs * self.steps_per_epoch
        self.state = TrainingState(task, recipe, accelerator, self.compute, self.total_steps)
        self.best_weights = folder / "best.safetensors"
        if val is not None:  # The val samples for the metrics, and the others, for the loss alone.
            self._measured = _drawn(val, config.eval_samples, config.seed)
        self._losses = Losses()
        self._told_undefined = False

    @property
    def monitored_samples(self) -> int:
        """The val samples that the monitored metric is computed on while training."""
        if self.val is None:
            return 0
        return len(self.val if self.monitor.name == "loss" else self._measured[0])

    def fit(self, *, resume: bool = False) -> FitResult:
        """Train to the end, to an early stop, or until a signal asks to stop.

        Args:
            resume: continue from the newest checkpoint in the folder.

        Raises:
            NonFiniteLossError: a loss is NaN or infinite; names the step and the samples.
            SampleError: a sample has become unreadable.
            CheckpointError: there is nothing to resume from.
            StorageError: a checkpoint cannot be written.
        """
        state, config, accelerator = self.state, self.config, self.accelerator
        if resume:
            for remark in state.restore(self.folder):
                self.callback.on_message(f"{remark} The one before it is used.")
        self._announce()
        self._tell_measured()
        progress, device = state.progress, accelerator.device
        watch = ThreadWatch(self.compute.free_threads(config), self.callback.on_message)
        started = time.perf_counter() - progress.seconds
        with (
            StopRequest() as stop,
            self.compute.limited(),
            contextlib.closing(self._batches()) as stream,
        ):
            state.train(self.batch_sampler.epoch_of(progress.step))
            self._evaluate_if_due(stop)  # A training that is resumed may owe an evaluation.
            while (ending := self._ending(stop)) is None:
                step = progress.step
                if step % self.steps_per_epoch == 0:
                    state.train(self.batch_sampler.epoch_of(step))
                micro_batches, shares = self._next_batches(stream)
                loaded = time.perf_counter()
                total = torch.zeros((), device=device)
                for number, (batch, share) in enumerate(zip(micro_batches, shares, strict=True)):
                    # Loading may have drawn random numbers here; the model's start anew.
                    seed_everything(config.seed, step, number, comm.rank())
                    with state.parallel.no_sync(number + 1 < len(micro_batches)):
                        loss = state.parallel.loss(batch.to(device)) * share
                        accelerator.backward(loss)
                    total += loss.detach()
                progress.samples += self.batch_sampler.samples(step)
                progress.seconds = time.perf_counter() - started
                self._add_loss(step + 1, total, micro_batches)
                if config.clip_norm is not None:
                    accelerator.clip_grad_norm_(state.trained.parameters(), config.clip_norm)
                state.optimizer.step()
                state.schedule.step()
                state.optimizer.zero_grad()
                if state.ema is not None:
                    state.ema.update_parameters(state.trained)
                watch.follow(time.perf_counter() - loaded, micro_batches)
                progress.step += 1
                boundary = self._evaluate_if_due(stop)
                if self._checkpoint_is_due(boundary):
                    self._save()
            self._report_losses()
        if ending == "interrupted":
            self._save()
        else:
            state.update_eval_model()
        return FitResult(
            ending=ending,
            progress=progress,
            total_steps=self.total_steps,
            best_weights=self.best_weights if progress.best is not None else None,
        )

    def _announce(self) -> None:
        if not self.config.learns:
            self.callback.on_message("Nothing is trained, because engine.epochs is 0.")
        self.callback.on_train_start(
            TrainStart(
                step=self.state.progress.step,
                total_steps=self.total_steps,
                steps_per_epoch=self.steps_per_epoch,
                samples=len(self.train),
                precision=self.compute.precision,
                device=str(self.accelerator.device),
            )
        )

    def _tell_measured(self) -> None:
        """Report that metrics do not cover all val samples while training."""
        if self.val is not None and len(self._measured[0]) < len(self.val):
            self.callback.on_message(
                f"While training, metrics are computed on {len(self._measured[0]):,} of "
                f"{len(self.val):,} val samples (engine.eval_samples), and the loss on all."
            )

    def _batches(self) -> Generator[Batch]:
        """The batches of all remaining steps."""
        keys = self.batch_sampler.batches(self.state.progress.step, self.total_steps)
        pin = self.accelerator.device.type == "cuda"
        return batches(training_loader(self.train, keys, workers=self.compute.workers, pin=pin))

    def _ending(self, stop: StopRequest) -> Ending | None:
        """Whether and how the training ends here, for all processes alike."""
        patience, progress = self.config.patience, self.state.progress
        if comm.any_of(bool(stop)):
            return "interrupted"
        if patience is not None and progress.evaluations_since_best >= patience:
            return "early"
        return "finished" if progress.step >= self.total_steps else None

    def _next_batches(self, stream: Iterator[Batch]) -> tuple[list[Batch], list[float]]:
        """The batches of a step, each with the factor for its loss.

        With these factors, the gradient averaged over processes is that of the mean loss over the
        whole step, for any number of forward passes and processes.
        """
        asked = time.perf_counter()
        micro_batches = [
            next(stream) for _ in range(self.batch_sampler.passes(self.state.progress.step))
        ]
        self.state.progress.waited += time.perf_counter() - asked
        weights = [self.state.task.weight(batch) for batch in micro_batches]
        scale = comm.count() / max(1, comm.total(sum(weights)))
        return micro_batches, [weight * scale for weight in weights]

    def _checkpoint_is_due(self, boundary: bool) -> bool:
        every, step = self.config.checkpoint_every, self.state.progress.step
        if every is None:
            return boundary and step < self.total_steps
        return step % every == 0

    def _save(self) -> None:
        """Write a checkpoint, unless a NaN loss has corrupted the weights."""
        self._report_losses()
        self.state.save(self.folder)

    # --- losses ---------------------------------------------------------------------------------

    def _add_loss(self, step: int, loss: Tensor, micro_batches: Sequence[Batch]) -> None:
        """Add a step's loss; on a GPU it is read later, because reading waits for the GPU."""
        ids = [sample_id for batch in micro_batches for sample_id in batch.ids]
        self._losses.add(step, loss, ids)
        every = log_every(self.config.log_every, self.total_steps)
        if self.accelerator.device.type == "cpu" or len(self._losses) >= every:
            self._report_losses()

    def _report_losses(self) -> None:
        """Read the losses added since the last call; on a GPU this waits for it to catch up.

        Raises:
            NonFiniteLossError: one is NaN or infinite.
        """
        if not len(self._losses):
            return
        step, loss = self._losses.take()
        progress = self.state.progress
        self.callback.on_step(
            TrainStep(
                step=step,
                epoch=self.batch_sampler.epoch_of(step - 1) + 1,
                loss=loss,
                lr=self.state.current_lr,
                samples=progress.samples,
                seconds=progress.seconds,
                waited=progress.waited,
            )
        )

    # --- evaluation -----------------------------------------------------------------------------

    def _evaluate_if_due(self, stop: StopRequest) -> bool:
        """Evaluate at the end of an epoch, or at the configured interval.

        Returns:
            Whether the step is such a boundary, even if there is no val split to evaluate. False
            if a stop signal interrupted the evaluation, which a resumed training repeats.
        """
        step = self.state.progress.step
        every = self.config.eval_every or self.steps_per_epoch
        boundary = step % every == 0 or step == self.total_steps
        if not boundary or step <= self.state.progress.evaluated_step:
            return False
        with contextlib.suppress(InterruptedEvaluationError):
            if self.val is not None:
                self._evaluate(stop)
            return True
        return False

    def _evaluate(self, stop: StopRequest) -> None:
        """Evaluate on the validation split, and keep the model if it is the best so far.

        Raises:
            InterruptedEvaluationError: a signal asked to stop.
        """
        assert self.val is not None
        self._report_losses()
        self.state.update_eval_model()
        data, rest = self._measured
        evaluation = self.evaluate(data, "val", rest=rest, stop=lambda: bool(stop))
        progress, value = self.state.progress, evaluation.scalar(self.monitor.name)
        best = self.monitor.better(value, evaluation.loss, progress.best, progress.best_loss)
        progress.evaluated(value, evaluation.loss, best)
        if value is None:
            self._tell_undefined(evaluation.why_undefined(self.monitor.name))
        if best and comm.is_main():
            with replacing(self.best_weights) as temporary:
                kept_weights.write(self.state.eval_model, temporary)
        epoch = self.batch_sampler.epoch_of(progress.step - 1) + 1
        self.callback.on_evaluation(
            Evaluated(
                step=progress.step, epoch=epoch, split="val", evaluation=evaluation, best=best
            )
        )
        self.state.train(self.batch_sampler.epoch_of(progress.step))

    def _tell_undefined(self, reason: str) -> None:
        """Report once that the monitored metric is undefined and cannot choose a model."""
        if self._told_undefined:
            return
        self._told_undefined = True
        self.callback.on_message(
            f"{self.monitor.name} cannot be used to choose the best model on val ({reason}). If it "
            "stays undefined, the last model is kept. Choose another metric with "
            "--set engine.monitor=NAME."
        )

    def evaluate(
        self,
        data: PreparedSplit,
        split: str,
        metrics: Mapping[str, Metric] | None = None,
        *,
        examples: int = 0,
        rest: PreparedSplit | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Evaluation:
        """Evaluate the model on a split, on all processes, in the precision of prediction.

        Args:
            metrics: metrics to use instead of the run's.
            rest: further samples of the split, for which only the loss is computed.

        Raises:
            OutOfMemoryError: memory ran out.
        """
        done, total = 0, len(data) + (0 if rest is None else len(rest))

        def on_batch(samples: int) -> None:
            nonlocal done
            done = min(total, done + samples * comm.count())
            self.callback.on_evaluation_progress(split, done, total)

        try:
            return evaluate(
                self.state.eval_model,
                self._evaluation_loader(data),
                self.metrics if metrics is None else metrics,
                self.inference,
                rest=None if rest is None else self._evaluation_loader(rest),
                examples=examples,
                on_batch=on_batch,
                stop=stop,
            )
        except Exception as error:
            if not out_of_memory(error):
                raise
            raise OutOfMemoryError(
                f"Memory ran out while evaluating {counted(total, 'sample')} ({split}).",
                hint="Give a smaller --batch-size, smaller inputs, or a smaller backbone.",
            ) from error

    def _evaluation_loader(self, data: PreparedSplit) -> Loader:
        return evaluation_loader(
            data,
            self.config.batch_size,
            workers=self.compute.workers,
            pin=self.accelerator.device.type == "cuda",
            rank=comm.rank(),
            world=comm.count(),
            compares=self.state.eval_model.compares,
            in_order=False,
            batch_total=self.config.batch_total,
        )


def _drawn(
    data: PreparedSplit, most: int | None, seed: int
) -> tuple[PreparedSplit, PreparedSplit | None]:
    """`most` samples drawn at random, and the others; all and None if there are no others."""
    if most is None or most >= len(data):
        return data, None
    order = np.random.default_rng(seed).permutation(len(data))
    return data.some(np.sort(order[:most])), data.some(np.sort(order[most:]))
