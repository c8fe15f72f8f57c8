"""What the engine tells of a training, and who listens: sinks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mmft_core.files import json_text, storage_errors, write_text

if TYPE_CHECKING:
    from mmft_core.contracts import Dataset
    from mmft_core.evaluation import Evaluation  # Which needs torch, and reading a file does not.


class StopTrainingError(Exception):
    """Raised by a sink that ends the training, where that is nobody's failure."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """A training begins, or goes on at `step`."""

    step: int
    total_steps: int
    steps_per_epoch: int
    samples: int
    precision: str
    device: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """One or several optimizer steps are done; `loss` is their mean.

    Attributes:
        lr: of the last of them: `engine.lr` times the factor of the schedule.
        samples: that training has seen so far.
        seconds: that training has taken so far, evaluations and checkpoints included.
        waited: of these, waiting for data.
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
    """An evaluation is done."""

    step: int
    epoch: int
    split: str
    evaluation: Evaluation
    best: bool


class Sink:
    """Hears of a training. Each method does nothing unless a subclass wants to know."""

    def data(self, dataset: Dataset) -> None:
        """The data of a new run are read and checked."""

    def start(self, event: Start) -> None: ...

    def step(self, event: Step) -> None: ...

    def evaluating(self, split: str, done: int, total: int) -> None: ...

    def evaluated(self, event: Evaluated) -> None: ...

    def say(self, text: str) -> None:
        """A remark that the user should see."""

    def close(self) -> None: ...


class Sinks(Sink):
    """Several sinks as one."""

    def __init__(self, sinks: Iterable[Sink]) -> None:
        self.sinks = tuple(sinks)

    def data(self, dataset: Dataset) -> None:
        for sink in self.sinks:
            sink.data(dataset)

    def start(self, event: Start) -> None:
        for sink in self.sinks:
            sink.start(event)

    def step(self, event: Step) -> None:
        for sink in self.sinks:
            sink.step(event)

    def evaluating(self, split: str, done: int, total: int) -> None:
        for sink in self.sinks:
            sink.evaluating(split, done, total)

    def evaluated(self, event: Evaluated) -> None:
        for sink in self.sinks:
            sink.evaluated(event)

    def say(self, text: str) -> None:
        for sink in self.sinks:
            sink.say(text)

    def close(self) -> None:
        for sink in self.sinks:
            sink.close()


class Follower(Protocol):
    """Told of all that `metrics.jsonl` holds."""

    def begin(self, kept: list[dict[str, Any]], told: list[dict[str, Any]]) -> None:
        """Training begins or goes on: of the lines that were told, these are kept."""

    def record(self, record: dict[str, Any]) -> None:
        """A line is written."""


def log_every(given: int | None, total_steps: int) -> int:
    """Steps between lines: those that were asked for, or so many that a short run has a course."""
    return given or min(10, max(1, total_steps // 50))


class MetricsFile(Sink):
    """Writes `metrics.jsonl`: a line for every `every` steps, and one for each evaluation."""

    def __init__(self, path: Path, every: int | None, follower: Follower | None = None) -> None:
        self.path, self.follower = path, follower
        self._given, self._every, self._next = every, 1, 0

    def start(self, event: Start) -> None:
        """Drop the lines of steps that a resumed training does again."""
        self._every = log_every(self._given, event.total_steps)
        told = read_metrics(self.path) if self.path.exists() else []
        kept = [line for line in told if line["step"] <= event.step]
        if self.path.exists():  # Also where its only line is half a one.
            write_text(self.path, "".join(json_text(line) + "\n" for line in kept))
        if self.follower is not None:
            self.follower.begin(kept, told)
        self._next = event.step + 1

    def step(self, event: Step) -> None:
        if event.step >= self._next or event.step == 1:
            self._next = (event.step // self._every + 1) * self._every
            rate = event.samples / event.seconds if event.seconds else 0.0
            self._write(vars(event) | {"samples_per_second": round(rate, 3)})

    def evaluated(self, event: Evaluated) -> None:
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


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read `metrics.jsonl` up to a line that is none, as a killed process may leave the last."""
    records = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(record, dict) or not isinstance(record.get("step"), int):
            break
        records.append(record)
    return records
