"""Runs as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, JustifyMethod
from rich.table import Table

from mmft_core.report.wording import duration, figure
from mmft_core.runs.differences import headline, shown
from mmft_core.runs.finding import Run

_STYLES = {"running": "bold", "failed": "red", "damaged": "red", "interrupted": "yellow"}


def print_runs(runs: Sequence[Run]) -> None:
    """A row for each run, and why some could not be finished or read."""
    console = _console()
    table = Table(
        "run", "state", "task", "backbone", "data", "figure", "val", "test", "took", "size",
        box=None, pad_edge=False,
    )  # fmt: skip
    for column in table.columns[6:]:
        column.justify, column.no_wrap = "right", True
    table.columns[0].overflow = "fold"
    for run in runs:
        table.add_row(
            run.name,
            f"[{_STYLES[run.state]}]{run.state}[/]" if run.state in _STYLES else run.state,
            run.task,
            " + ".join(run.backbones),
            run.dataset,
            run.monitor,
            headline(run, "val"),
            headline(run, "test"),
            "" if run.seconds is None else duration(run.seconds),
            size(run.size),
        )
    console.print(table)
    for run in runs:
        if run.reason:
            console.print(f"! {run.name}: {run.reason}", highlight=False, markup=False)


def print_comparison(
    runs: Sequence[Run],
    figures: Mapping[tuple[str, str], Sequence[float | None]],
    settings: Mapping[str, Sequence[Any]],
) -> None:
    """Figures side by side, then the settings that are not the same."""
    console = _console()
    table = _side_by_side("figure", runs, "right")
    for (split, name), values in figures.items():
        table.add_row(f"{split} {name}", *map(figure, values))
    console.print(table)
    console.print()
    if not settings:
        console.print("They do not differ in any setting.")
        return
    table = _side_by_side("setting", runs, "left")
    for key, values in settings.items():
        table.add_row(key, *map(shown, values))
    console.print(table)


def size(count: int) -> str:
    """Bytes as a reader likes them."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _side_by_side(heading: str, runs: Sequence[Run], justify: JustifyMethod) -> Table:
    table = Table(heading, *(run.name for run in runs), box=None, pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"
    for column in table.columns[1:]:
        column.justify = justify
    return table


def _console() -> Console:
    """A console that cuts nothing off where no terminal limits it."""
    console = Console()
    return console if console.is_terminal else Console(width=200)
