"""What a user sees of a training: a live display in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from mmft_core.sinks import Evaluated, Sink, Start, Step

if TYPE_CHECKING:
    from mmft_core.contracts import Dataset

_LINE_SECONDS = 10.0
"""Seconds between plain lines about what is going on."""

_COLUMNS = 4
"""Figures of an evaluation that fit on one line beside step and loss."""


def make_display(console: Console) -> Sink:
    """The live display for a terminal, lines for anything else."""
    return LiveDisplay(console) if console.is_terminal else LineDisplay(console)


class LiveDisplay(Sink):
    """A progress bar with loss, learning rate, samples/s and time left, below the evaluations."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            expand=True,
        )
        self.table = _evaluation_table()
        self.live = Live(Group(self.progress), console=console, refresh_per_second=8)
        self.training: TaskID | None = None
        self.side: dict[str, TaskID] = {}
        self.total_steps = 0
        self.rate = Rate()

    def data(self, dataset: Dataset) -> None:
        (self.live.console if self.live.is_started else self.console).print(
            data_line(dataset), highlight=False, markup=False, soft_wrap=True
        )

    def start(self, event: Start) -> None:
        self._open()
        self.total_steps = event.total_steps
        self.rate = Rate()
        self.training = self.progress.add_task(
            "training", total=event.total_steps, completed=event.step, note=""
        )

    def step(self, event: Step) -> None:
        if self.training is not None:
            rate = self.rate.update(event)
            note = f"loss {event.loss:.4f}  lr {event.lr:.1e}{_speed(rate)}"
            self.progress.update(self.training, completed=event.step, note=note)

    def evaluating(self, split: str, done: int, total: int) -> None:
        self._open()
        if split not in self.side:
            self.side[split] = self.progress.add_task(split, total=total, note="")
        self.progress.update(self.side[split], completed=done, total=total)
        if done >= total:
            self.progress.remove_task(self.side.pop(split))

    def evaluated(self, event: Evaluated) -> None:
        _add_evaluation(self.table, event)
        self.live.update(Group(self.table, self.progress))

    def say(self, text: str) -> None:
        (self.live.console if self.live.is_started else self.console).print(
            f"[yellow]![/] {text}", highlight=False, soft_wrap=True
        )

    def close(self) -> None:
        if self.live.is_started:
            self.live.stop()

    def _open(self) -> None:
        if not self.live.is_started:
            self.live.start()


class LineDisplay(Sink):
    """One line for each evaluation, and one every ten seconds of work."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.last = time.monotonic()
        self.total_steps = 0
        self.rate = Rate()

    def data(self, dataset: Dataset) -> None:
        self._print(data_line(dataset))

    def start(self, event: Start) -> None:
        self.total_steps = event.total_steps
        self.rate = Rate()
        verb = f"go on at step {event.step} of" if event.step else "train"
        self._print(
            f"{verb} {event.total_steps} steps on {event.samples} samples "
            f"({event.device}, {event.precision})"
        )

    def step(self, event: Step) -> None:
        rate = self.rate.update(event)
        if time.monotonic() - self.last >= _LINE_SECONDS:
            self.last = time.monotonic()
            self._print(
                f"step {event.step}/{self.total_steps}  loss {event.loss:.4f}  "
                f"lr {event.lr:.1e}{_speed(rate)}{_left(event, self.total_steps, rate)}"
            )

    def evaluating(self, split: str, done: int, total: int) -> None:
        if done < total and time.monotonic() - self.last >= _LINE_SECONDS:
            self.last = time.monotonic()
            self._print(f"{split:5} {done:,} of {total:,}")

    def evaluated(self, event: Evaluated) -> None:
        figures = _chosen(event.evaluation.single)
        text = "  ".join(f"{name} {_figure(value)}" for name, value in figures.items())
        star = "  (best)" if event.best else ""
        self._print(f"{event.split:5} step {event.step}  {text}{star}")

    def say(self, text: str) -> None:
        self._print(f"! {text}")

    def _print(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


class Rate:
    """Samples per second over the last steps; 0 until two of them tell."""

    def __init__(self) -> None:
        self.marks: list[tuple[int, float]] = []

    def update(self, event: Step) -> float:
        self.marks = [*self.marks[-20:], (event.samples, event.seconds)]
        (samples, seconds), (now, time_now) = self.marks[0], self.marks[-1]
        if time_now <= seconds:
            return event.samples / event.seconds if event.seconds else 0.0
        return (now - samples) / (time_now - seconds)


def data_line(dataset: Dataset) -> str:
    """What is learned from, and how it was understood."""
    info = dataset.info
    sizes = ", ".join(f"{len(split):,} {name}" for name, split in dataset.splits.items())
    classes = f"; {len(info.classes):,} classes" if info.classes else ""
    return "; ".join((f"data {info.name}: {sizes}{classes}", *info.notes))


def _speed(rate: float) -> str:
    return f"  {rate:.1f} samples/s" if rate else ""


def _left(event: Step, total_steps: int, rate: float) -> str:
    if not rate:
        return ""
    per_step = event.samples / max(1, event.step)
    seconds = int((total_steps - event.step) * per_step / rate)
    return f"  {seconds // 60}:{seconds % 60:02d} left"


def _chosen(figures: dict[str, float | None]) -> dict[str, float | None]:
    return dict(list(figures.items())[: _COLUMNS + 1])


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _evaluation_table() -> Table:
    return Table(box=None, pad_edge=False, expand=False)


def _add_evaluation(table: Table, event: Evaluated) -> None:
    figures = event.evaluation.single
    if not table.columns:
        for name in ("split", "epoch", *_chosen(figures), ""):
            table.add_column(name, justify="left" if name in ("split", "") else "right")
    cells = [_figure(figures.get(str(column.header))) for column in table.columns[2:-1]]
    style = "bold" if event.split == "test" else ""
    epoch = str(event.epoch) if event.epoch else ""
    table.add_row(event.split, epoch, *cells, "[green]best[/]" if event.best else "", style=style)
