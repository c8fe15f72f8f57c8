"""What the engine tells of a training, and who listens: sinks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmft_core.evaluation import Evaluation
from mmft_core.files import storage_errors, write_text


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


class MetricsFile(Sink):
    """Writes `metrics.jsonl`: a line for every `every` steps, and one for each evaluation."""

    def __init__(self, path: Path, every: int) -> None:
        self.path, self.every = path, every
        self._next = 0

    def start(self, event: Start) -> None:
        """Drop the lines of steps that a resumed training does again."""
        if self.path.exists():
            kept = [line for line in read_metrics(self.path) if line["step"] <= event.step]
            write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))
        self._next = event.step + 1

    def step(self, event: Step) -> None:
        if event.step >= self._next or event.step == 1:
            self._next = (event.step // self.every + 1) * self.every
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
            file.write(json.dumps(record) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read `metrics.jsonl`; a last line that a killed process left half-written is passed over."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records
