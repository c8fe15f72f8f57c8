"""The display of a training: live in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from mmft_core.cli.tables import Column, Table, remark, text
from mmft_core.contracts.callbacks import Callback, Ending, Evaluated, TrainStart, TrainStep
from mmft_core.utils.numbers import counted

if TYPE_CHECKING:
    from mmft_core.contracts import Dataset

_LINE_SECONDS = 10.0
"""Seconds between plain lines about what is going on."""

_WIDE = 80
"""Columns of a terminal in which a progress bar has room beside metrics."""

_COLUMNS = 4
"""Metrics of an evaluation that fit on one line beside step and loss."""


def make_display(console: Console) -> Display:
    """The live display for a terminal, lines for anything else."""
    return LiveDisplay(console) if console.is_terminal else LineDisplay(console)


class Display(Callback):
    """Shows what a run, or another command that takes long, is doing."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class LiveDisplay(Display):
    """A progress bar with loss, learning rate, samples/s and time left, below the evaluations."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress(*_progress_columns(console.width), console=console, expand=True)
        self.table: Table | None = None
        self.live = Live(Group(self.progress), console=console, refresh_per_second=8)
        self.training: TaskID | None = None
        self.side: dict[str, TaskID] = {}
        self.rate = Rate()

    def on_data(self, dataset: Dataset) -> None:
        self.console.print(data_line(dataset), soft_wrap=True)

    def on_train_start(self, event: TrainStart) -> None:
        self._open()
        self.rate = Rate()
        if event.total_steps:
            self.training = self.progress.add_task(
                "training", total=event.total_steps, completed=event.step, note=""
            )

    def on_step(self, event: TrainStep) -> None:
        if self.training is not None:
            rate = self.rate.update(event)
            note = f"loss {event.loss:.4f}  lr {event.lr:.1e}{_speed(rate)}"
            self.progress.update(self.training, completed=event.step, note=note)

    def on_evaluation_progress(self, split: str, done: int, total: int) -> None:
        self._open()
        if split not in self.side:
            self.side[split] = self.progress.add_task(split, total=total, note="")
        self.progress.update(self.side[split], completed=done, total=total)
        if done >= total:
            self.progress.remove_task(self.side.pop(split))

    def on_evaluation(self, event: Evaluated) -> None:
        if self.table is None:
            self.table = _evaluation_table(event.evaluation.scalars, self.console.width)
        _add_evaluation(self.table, event)
        self.live.update(Group(self.table, self.progress))

    def on_message(self, text: str) -> None:
        self.console.print(remark(text), soft_wrap=True)

    def on_info(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)

    def on_end(self, ending: Ending) -> None:
        self.close()

    def close(self) -> None:
        if self.live.is_started:
            self.live.stop()

    def _open(self) -> None:
        if not self.live.is_started:
            self.live.start()


def _progress_columns(width: int) -> list[ProgressColumn]:
    """What a line of progress shows: in a narrow terminal no bar and no time that has passed."""
    name = TextColumn("{task.description}", markup=False)
    note = TextColumn("{task.fields[note]}", markup=False)
    if width >= _WIDE:
        bar = BarColumn(bar_width=None)
        return [name, bar, MofNCompleteColumn(), note, TimeElapsedColumn(), TimeRemainingColumn()]
    return [name, note, TimeRemainingColumn(compact=True)]


class LineDisplay(Display):
    """One line for each evaluation, and one every ten seconds of work."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.last = time.monotonic()
        self.total_steps = 0
        self.rate = Rate()

    def on_data(self, dataset: Dataset) -> None:
        self._print(data_line(dataset))

    def on_train_start(self, event: TrainStart) -> None:
        self.total_steps = event.total_steps
        self.rate = Rate()
        if not event.total_steps:
            return
        verb = f"resuming at step {event.step} of" if event.step else "train"
        self._print(
            f"{verb} {counted(event.total_steps, 'step')} on {counted(event.samples, 'sample')} "
            f"({event.device}, {event.precision})"
        )

    def on_step(self, event: TrainStep) -> None:
        rate = self.rate.update(event)
        if time.monotonic() - self.last >= _LINE_SECONDS:
            self.last = time.monotonic()
            self._print(
                f"step {event.step}/{self.total_steps}  loss {event.loss:.4f}  "
                f"lr {event.lr:.1e}{_speed(rate)}{_left(event, self.total_steps, rate)}"
            )

    def on_evaluation_progress(self, split: str, done: int, total: int) -> None:
        if done < total and time.monotonic() - self.last >= _LINE_SECONDS:
            self.last = time.monotonic()
            self._print(f"{split:5} {done:,} of {total:,}")

    def on_evaluation(self, event: Evaluated) -> None:
        metrics = list(event.evaluation.scalars.items())[: _COLUMNS + 1]
        text = "  ".join(f"{name} {_number(value)}" for name, value in metrics)
        star = "  (best)" if event.best else ""
        self._print(f"{event.split:5} step {event.step}  {text}{star}")

    def on_message(self, text: str) -> None:
        self._print(f"! {text}")

    def on_info(self, text: str) -> None:
        self._print(text)

    def _print(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)


class Rate:
    """Samples per second over the last events; after a single one, since training started."""

    def __init__(self) -> None:
        self.marks: list[tuple[int, float]] = []

    def update(self, event: TrainStep) -> float:
        self.marks = [*self.marks[-20:], (event.samples, event.seconds)]
        (samples, seconds), (now, time_now) = self.marks[0], self.marks[-1]
        if time_now <= seconds:
            return event.samples / event.seconds if event.seconds else 0.0
        return (now - samples) / (time_now - seconds)


def data_line(dataset: Dataset) -> str:
    """The data set with its sizes, and how it was understood."""
    info = dataset.info
    sizes = ", ".join(f"{len(split):,} {name}" for name, split in dataset.splits.items())
    classes = f"; {len(info.classes):,} classes" if info.classes else ""
    return "; ".join((f"data {info.name}: {sizes}{classes}", *info.notes))


def _speed(rate: float) -> str:
    return f"  {rate:.1f} samples/s" if rate else ""


def _left(event: TrainStep, total_steps: int, rate: float) -> str:
    if not rate:
        return ""
    per_step = event.samples / max(1, event.step)
    seconds = int((total_steps - event.step) * per_step / rate)
    return f"  {seconds // 60}:{seconds % 60:02d} left"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _evaluation_table(metrics: Iterable[str], width: int) -> Table:
    """An empty table with a column for as many of the metrics as fit."""
    split, epoch, best = Column("split"), Column("epoch", number=True), Column("")
    columns = [Column(name, number=True) for name in metrics][: _COLUMNS + 1]
    # Values below 1000 take 8 columns; split, epoch and "best" together 22.
    while len(columns) > 1 and 22 + sum(2 + max(8, len(c.name)) for c in columns) > width:
        columns.pop()
    return Table(split, epoch, *columns, best)


def _add_evaluation(table: Table, event: Evaluated) -> None:
    metrics = event.evaluation.scalars
    cells = [_number(metrics.get(column.name)) for column in table.columns[2:-1]]
    epoch = str(event.epoch) if event.epoch else ""
    best = text("best" if event.best else "", "green")
    table.add(event.split, epoch, *cells, best, style="bold" if event.split == "test" else "")
