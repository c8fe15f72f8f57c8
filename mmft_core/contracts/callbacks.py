"""Callbacks, and the events that they receive.

A run calls its callbacks in this order:

    check                       before anything is done
    on_data                     the data of a new run are read and checked
    on_run_start                the run directory is written, training is about to begin
    on_train_start              training begins, or resumes
      on_step, on_log           optimizer steps, and lines of metrics.jsonl
      on_evaluation_progress    an evaluation is running
      on_evaluation             an evaluation is done: on val during training, on test after it
    on_finish                   the model is saved and evaluated
    on_end                      always, after success, failure or interruption

`on_message` and `on_info` may be called at any time. With several processes, only the main one has
callbacks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from mmft_core.config.plan import Plan
    from mmft_core.contracts.data import Dataset
    from mmft_core.contracts.tasks import Task
    from mmft_core.engine.evaluation import Evaluation

Record: TypeAlias = Mapping[str, Any]
"""A line of `metrics.jsonl`; those of evaluations have a "split"."""

Ending: TypeAlias = Literal["finished", "interrupted", "stopped", "failed"]
"""How a run ended: "interrupted" by the user, "stopped" by a callback (`StopTrainingError`)."""


@dataclass(frozen=True, kw_only=True)
class RunStart:
    """A run begins, or resumes.

    Attributes:
        directory: the run directory; for `Callback.check` of a cross-validation or sweep, the
            directory of the whole.
        settings: the resolved configuration by dotted key ("engine.lr").
        logged: the lines of `metrics.jsonl` that a resumed run wrote before. Lines of steps after
            `TrainStart.step` are dropped, because these steps are repeated.
    """

    directory: Path
    settings: Mapping[str, Any]
    logged: Sequence[Record] = ()


@dataclass(frozen=True, kw_only=True)
class TrainStart:
    """Training begins, or resumes after `step`."""

    step: int
    total_steps: int
    steps_per_epoch: int
    samples: int
    precision: str
    device: str


@dataclass(frozen=True, kw_only=True)
class TrainStep:
    """One or several optimizer steps are done; `loss` is their mean.

    Attributes:
        lr: the learning rate of the last of them: `engine.lr` times the schedule's factor.
        samples: training samples seen so far.
        seconds: training time so far, including evaluations and checkpoints.
        waited: how many of these seconds were spent waiting for data.
    """

    step: int
    epoch: int
    loss: float
    lr: float
    samples: int
    seconds: float
    waited: float


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """An evaluation is done; `best` if the model is the best so far."""

    step: int
    epoch: int
    split: str
    evaluation: Evaluation
    best: bool


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A run that is trained and evaluated.

    Attributes:
        directory: the run directory. The model is written already; `results.json` is written after
            all callbacks have finished.
        results: what `results.json` will hold.
        plan: every choice and setting.
        dataset: the data set without the samples that were skipped.
        evaluations: evaluations of the saved model, by split ("val", "test").
        task: the saved model.
    """

    directory: Path
    results: Mapping[str, Any]
    plan: Plan
    dataset: Dataset
    evaluations: Mapping[str, Evaluation]
    task: Task


@dataclass(frozen=True, kw_only=True)
class FinishedFolds:
    """A cross-validation of which every fold is finished.

    Attributes:
        directory: holds "fold-1", "fold-2", ...
        record: what `folds.json` will hold.
        results: the content of each fold's `results.json`.
        plan: the plan of all folds.
    """

    directory: Path
    record: Mapping[str, Any]
    results: Sequence[Mapping[str, Any]]
    plan: Plan


class Callback:
    """Follows a run. Each method does nothing unless a subclass overrides it.

    If a method other than `check` raises, the error is reported once, the callback is not called
    again, and training continues. Only `StopTrainingError` and `StorageError` (a full disk) end
    the run.
    """

    def check(self, run: RunStart) -> None:
        """Check, before anything else is done, that the callback can work. Writes nothing.

        Raises:
            ConfigError: the callback cannot work with these settings, for example because a server
                cannot be reached. The run is not started.
        """

    def on_data(self, dataset: Dataset) -> None:
        """The data of a new run are read and checked."""

    def on_run_start(self, run: RunStart) -> None:
        """The run directory is written, and training is about to begin or to resume."""

    def on_train_start(self, event: TrainStart) -> None:
        """Training begins, or resumes."""

    def on_step(self, event: TrainStep) -> None:
        """Optimizer steps are done. On a GPU this is called every few steps only."""

    def on_log(self, record: Record) -> None:
        """A line is written to `metrics.jsonl`."""

    def on_evaluation_progress(self, split: str, done: int, total: int) -> None:
        """Progress of an evaluation, or of another pass over a split, in samples."""

    def on_evaluation(self, event: Evaluated) -> None:
        """An evaluation is done."""

    def on_message(self, text: str) -> None:
        """A message that the user should not miss; displays mark it."""

    def on_info(self, text: str) -> None:
        """Information about the run, such as a choice made for it. By default a message."""
        self.on_message(text)

    def on_finish(self, run: FinishedRun) -> None:
        """The model is trained, saved and evaluated: the time to write a report."""

    def on_folds_finish(self, folds: FinishedFolds) -> None:
        """All folds of a cross-validation are finished."""

    def on_end(self, ending: Ending) -> None:
        """The run has ended; called last, after a failure or interruption too."""
