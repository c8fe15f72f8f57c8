"""The callbacks of a run as one, and the one that writes `metrics.jsonl`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from mmft_core.contracts.callbacks import Callback, Ending, Evaluated, TrainStart, TrainStep
from mmft_core.contracts.data import Dataset
from mmft_core.files import json_text, storage_errors, write_text
from mmft_core.metrics_log import log_every, read_metrics


class Callbacks(Callback):
    """Several callbacks as one."""

    def __init__(self, callbacks: Iterable[Callback]) -> None:
        self.callbacks = tuple(callbacks)

    def on_data(self, dataset: Dataset) -> None:
        for callback in self.callbacks:
            callback.on_data(dataset)

    def on_train_start(self, event: TrainStart) -> None:
        for callback in self.callbacks:
            callback.on_train_start(event)

    def on_step(self, event: TrainStep) -> None:
        for callback in self.callbacks:
            callback.on_step(event)

    def on_evaluation_progress(self, split: str, done: int, total: int) -> None:
        for callback in self.callbacks:
            callback.on_evaluation_progress(split, done, total)

    def on_evaluation(self, event: Evaluated) -> None:
        for callback in self.callbacks:
            callback.on_evaluation(event)

    def on_message(self, text: str) -> None:
        for callback in self.callbacks:
            callback.on_message(text)

    def on_end(self, ending: Ending) -> None:
        for callback in self.callbacks:
            callback.on_end(ending)


class Follower(Protocol):
    """Told of all that `metrics.jsonl` holds."""

    def begin(self, kept: list[dict[str, Any]], told: list[dict[str, Any]]) -> None:
        """Training begins or goes on: of the lines that were told, these are kept."""

    def record(self, record: dict[str, Any]) -> None:
        """A line is written."""


class MetricsFile(Callback):
    """Writes `metrics.jsonl`: a line for every `every` steps, and one for each evaluation."""

    def __init__(self, path: Path, every: int | None, follower: Follower | None = None) -> None:
        self.path, self.follower = path, follower
        self._given, self._every, self._next = every, 1, 0

    def on_train_start(self, event: TrainStart) -> None:
        """Drop the lines of steps that a resumed training does again."""
        self._every = log_every(self._given, event.total_steps)
        told = read_metrics(self.path)
        kept = [line for line in told if line["step"] <= event.step]
        if self.path.exists():  # Also where its only line is half a one.
            write_text(self.path, "".join(json_text(line) + "\n" for line in kept))
        if self.follower is not None:
            self.follower.begin(kept, told)
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
                **event.evaluation.figures,
            }
        )

    def _write(self, record: dict[str, Any]) -> None:
        with storage_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json_text(record) + "\n")
        if self.follower is not None:
            self.follower.record(record)
