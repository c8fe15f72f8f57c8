"""One trial: an ordinary run, or one for each fold, whose validations are reported to a pruner."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna

from mmft_core import Registry
from mmft_core.config import Plan
from mmft_core.contracts import Callback, Evaluated, TrainStart
from mmft_core.engine import read_metrics
from mmft_core.errors import DataError, StopTrainingError
from mmft_core.run import (
    FoldsDirectory,
    RunDirectory,
    build_dataset,
    check_same,
    cross_validate,
    run_or_resume,
)
from mmft_sweep.folder import SweepFolder
from mmft_sweep.study import Attempt


class TrialPrunedError(StopTrainingError):
    """The trial is worse than others and not worth continuing."""


class TrialStoppedError(Exception):
    """Ctrl-C or SIGTERM ended the trial; a checkpoint is written."""


class PruningCallback(Callback):
    """Reports every validation to Optuna, and ends the training if the pruner says so.

    Validations are counted instead of steps, because an epoch's steps depend on the batch size. In
    cross-validation the count continues from fold to fold, and the mean of the folds so far is
    reported.
    """

    def __init__(
        self, trial: optuna.Trial, monitor: str, run: Path, before: Sequence[Path]
    ) -> None:
        """Args:
        run: the run directory.
        before: those of the earlier folds, which are finished.
        """
        self.trial, self.monitor, self.run = trial, monitor, run
        self.count = sum(len(_validations(path, monitor)) for path in before)
        bests = [RunDirectory(path).read_results()["monitor"]["best"] for path in before]
        self.before = [best for best in bests if best is not None]
        self.last_step = 0

    def on_train_start(self, event: TrainStart) -> None:
        """Report what an interrupted run has already reached."""
        self.last_step = event.total_steps
        for value in _validations(self.run, self.monitor):
            self._report(value)

    def on_evaluation(self, event: Evaluated) -> None:
        """Raises:
        TrialPrunedError: the pruner says so.
        """
        if event.split != "val":
            return
        self._report(event.evaluation.scalar(self.monitor))
        if event.step < self.last_step and self.trial.should_prune():
            raise TrialPrunedError

    def _report(self, value: float | None) -> None:
        self.count += 1
        if value is not None and math.isfinite(value):
            values = [*self.before, value]
            self.trial.report(sum(values) / len(values), self.count)


@dataclass(frozen=True, kw_only=True)
class TrialRunner:
    """Runs trials of one sweep.

    Attributes:
        monitor: the figure that is tuned.
        display: makes the callback that shows a run to the user, given a heading.
        command: the command line of the sweep.
    """

    folder: SweepFolder
    registry: Registry
    monitor: str
    display: Callable[[str], Callback]
    command: str

    def run(self, attempt: Attempt, plan: Plan) -> float:
        """Train as the plan says.

        Returns:
            The monitored metric of the kept model on val; the folds' mean where there are folds;
            NaN where it is undefined.

        Raises:
            TrialPrunedError: it is not worth continuing.
            TrialStoppedError: it was asked to stop.
            MmftError: as `runner.train` does.
        """
        path = self.folder.trial(attempt.number)
        if attempt.continues is not None and not path.exists():
            earlier = self.folder.trial(attempt.continues)
            if earlier.is_dir():
                earlier.rename(path)
        if plan.folds is not None and plan.folds.chosen is None:
            return self._folds(attempt, plan, path)
        own = self._callbacks(attempt, path, (), "")
        results = run_or_resume(plan, path, self.registry, own, self.command)
        if results is None:
            raise TrialStoppedError
        if "val" not in results["metrics"]:
            raise _no_val(plan)
        return _number(results["metrics"]["val"][self.monitor])

    def _folds(self, attempt: Attempt, plan: Plan, path: Path) -> float:
        directory, begun = FoldsDirectory(path), 0
        resume = directory.config.is_file()
        numbers = [f.chosen or 0 for f in plan.folds.each()] if plan.folds else []

        def make_callbacks(heading: str) -> list[Callback]:
            nonlocal begun
            begun += 1
            before = [directory.fold(n) for n in numbers[: begun - 1]]
            return self._callbacks(attempt, directory.fold(numbers[begun - 1]), before, heading)

        record = cross_validate(
            plan, path, self.registry, make_callbacks, self.command, resume=resume
        )
        if record is None:
            raise TrialStoppedError
        return _number(record["figures"]["val"][self.monitor]["mean"])

    def _callbacks(
        self, attempt: Attempt, run: Path, before: Sequence[Path], heading: str
    ) -> list[Callback]:
        pruning = PruningCallback(attempt.trial, self.monitor, run, before)
        return [self.display(heading), pruning]


def check_data(plan: Plan, begun: Sequence[Path]) -> None:
    """Check that there are data, and some to compare trials on, before anything is written.

    Args:
        begun: run directories of trials, which must have had the same data.

    Raises:
        DataError: there are not, or the data have changed.
    """
    dataset = build_dataset(plan)
    if "val" not in dataset.splits:
        raise _no_val(plan)
    for run in begun:
        check_same(RunDirectory(run), plan, dataset)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _no_val(plan: Plan) -> DataError:
    """The error for data on which trials cannot be compared."""
    return DataError(
        f"Dataset '{plan.dataset.component.name}' has no val split, on which trials are compared.",
        hint="Set a share of the training data aside for it, with --set dataset.val=0.15, or "
        "cross-validate each trial with --folds 5.",
    )


def _validations(run: Path, monitor: str) -> list[float | None]:
    """The monitored metric of every validation in `metrics.jsonl`; None where it is
    undefined."""
    file = RunDirectory(run).metrics
    records = read_metrics(file) if file.exists() else []
    return [r.get(monitor) for r in records if r.get("split") == "val"]
