"""All callbacks of a run as one, and the callback that writes `metrics.jsonl`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mmft_core.config.plan import Plan
from mmft_core.config.trees import flatten
from mmft_core.contracts.callbacks import (
    Callback,
    Ending,
    Evaluated,
    FinishedFolds,
    FinishedRun,
    Record,
    RunStart,
    TrainStart,
    TrainStep,
)
from mmft_core.contracts.data import Dataset
from mmft_core.distributed import comm
from mmft_core.engine.metrics_log import log_every, read_metrics
from mmft_core.errors import ConfigError, MmftError, PluginError, StopTrainingError, StorageError
from mmft_core.plugin_errors import describe_error, kind_of
from mmft_core.utils.files import json_text, storage_errors, write_text


def _check_callback(given: Any) -> None:
    """Raises:
    ConfigError: this is not a callback; says why.
    """
    if isinstance(given, Callback):
        return
    if isinstance(given, type) and issubclass(given, Callback):
        raise ConfigError(
            f"The callback {given.__name__} is a class.",
            hint=f"Give an object: {given.__name__}().",
        )
    raise ConfigError(
        f"{given!r} is not a callback.",
        hint="Give objects of subclasses of mmft_core.contracts.Callback.",
    )


class Callbacks(Callback):
    """Several callbacks as one, used as a context manager around a run.

    A callback that fails is reported and not called again. Only the main process has callbacks.
    """

    def __init__(self, plan: Plan, directory: Path, given: Iterable[Callback] = ()) -> None:
        """Args:
        given: callbacks that are called before those of the plan.
        """
        self.plan, self.directory, self.given = plan, directory, tuple(given)
        for callback in self.given:
            _check_callback(callback)
        self._callbacks: list[tuple[str, Callback]] = []
        self._ending: Ending = "interrupted"

    def __enter__(self) -> Self:
        """Raises:
        MmftError: as `prepare` does.
        """
        self.prepare()
        return self

    def prepare(self) -> None:
        """Build the plan's callbacks, and let each check whether it can work.

        Raises:
            MissingExtraError: packages that one needs are not installed.
            ConfigError: one cannot work with these settings.
        """
        if not comm.is_main():
            return
        metrics = MetricsFile(
            self.directory / "metrics.jsonl", self.plan.engine.log_every, self.on_log
        )
        self._callbacks = [(type(c).__name__, c) for c in (metrics, *self.given)]
        self._build()
        start = RunStart(directory=self.directory, settings=flatten(self.plan.tree()))
        self._each(lambda callback: callback.check(start), MmftError)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        ending = self._ending
        if isinstance(error, Exception):
            ending = "stopped" if isinstance(error, StopTrainingError) else "failed"
        self.on_end(ending)

    def _build(self) -> None:
        for part in self.plan.callbacks:
            name = part.component.name
            try:
                made = part.component.build(part.options)
                if not isinstance(made, Callback):
                    raise PluginError(
                        f"Callback '{part.component.qualified}' built {kind_of(made)}, "
                        "not a Callback."
                    )
            except Exception as error:
                if not part.spec.default:  # The user has asked for it.
                    raise
                self._report(name, part.spec.build, error)
            else:
                self._callbacks.append((name, made))

    def _each(self, call: Callable[[Callback], None], *passed: type[Exception]) -> None:
        """Call a method of every callback.

        Args:
            passed: exceptions that are raised, besides those that always end a run.
        """
        for name, callback in tuple(self._callbacks):
            if (name, callback) not in self._callbacks:  # It failed at a message of another one.
                continue
            try:
                call(callback)
            except Exception as error:
                if isinstance(error, (StopTrainingError, StorageError, *passed)):
                    raise
                self._callbacks.remove((name, callback))
                self._report(name, type(callback).__module__, error)

    def _report(self, name: str, module: str, error: Exception) -> None:
        package = module.partition(".")[0]
        what = describe_error(error, package)
        reason = error.message if isinstance(error, MmftError) else f"{what}."
        self.on_message(f"Callback '{name}' failed and is not called again: {reason}")

    def on_data(self, dataset: Dataset) -> None:
        self._each(lambda callback: callback.on_data(dataset))

    def on_run_start(self, run: RunStart) -> None:
        self._each(lambda callback: callback.on_run_start(run))

    def on_train_start(self, event: TrainStart) -> None:
        self._each(lambda callback: callback.on_train_start(event))

    def on_step(self, event: TrainStep) -> None:
        self._each(lambda callback: callback.on_step(event))

    def on_log(self, record: Record) -> None:
        self._each(lambda callback: callback.on_log(record))

    def on_evaluation_progress(self, split: str, done: int, total: int) -> None:
        self._each(lambda callback: callback.on_evaluation_progress(split, done, total))

    def on_evaluation(self, event: Evaluated) -> None:
        self._each(lambda callback: callback.on_evaluation(event))

    def on_message(self, text: str) -> None:
        self._each(lambda callback: callback.on_message(text))

    def on_info(self, text: str) -> None:
        self._each(lambda callback: callback.on_info(text))

    def on_finish(self, run: FinishedRun) -> None:
        self._each(lambda callback: callback.on_finish(run))

    def on_folds_finish(self, folds: FinishedFolds) -> None:
        self._each(lambda callback: callback.on_folds_finish(folds))

    def on_end(self, ending: Ending) -> None:
        self._each(lambda callback: callback.on_end(ending))

    def finished(self) -> None:
        """The run has written all of its files."""
        self._ending = "finished"


class MetricsFile(Callback):
    """Writes `metrics.jsonl`: a line for every `every` steps, and one for each evaluation."""

    def __init__(
        self, path: Path, every: int | None, on_line: Callable[[Record], None] = lambda line: None
    ) -> None:
        """Args:
        on_line: called with every line.
        """
        self.path, self.on_line = path, on_line
        self._given, self._every, self._next = every, 1, 0

    def on_train_start(self, event: TrainStart) -> None:
        """Drop the lines of steps that a resumed training repeats."""
        self._every = log_every(self._given, event.total_steps)
        if self.path.exists():  # Even if its only line is incomplete.
            kept = [line for line in read_metrics(self.path) if line["step"] <= event.step]
            write_text(self.path, "".join(json_text(line) + "\n" for line in kept))
        self._next = event.step + 1

    def on_step(self, event: TrainStep) -> None:
        if event.step >= self._next or event.step == 1:
            self._next = (event.step // self._every + 1) * self._every
            rate = event.samples / event.seconds if event.seconds else 0.0
            self._write(vars(event) | {"samples_per_second": round(rate, 3)})

    def on_evaluation(self, event: Evaluated) -> None:
        self._write(
            {
                "step": event.step,
                "epoch": event.epoch,
                "split": event.split,
                "best": event.best,
                **event.evaluation.defined_scalars,
            }
        )

    def _write(self, line: dict[str, Any]) -> None:
        with storage_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json_text(line) + "\n")
        self.on_line(line)
