"""Runs as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmft_core.cli import Column, Table, console, text
from mmft_core.utils import numbers, readable
from mmft_report.runs.differences import headline, shown
from mmft_report.runs.finding import Run
from mmft_report.wording import duration

_STYLES = {"running": "bold", "failed": "red", "damaged": "red", "interrupted": "yellow"}


def print_runs(runs: Sequence[Run]) -> None:
    """A row for each run, and why some could not be finished or read."""
    table = Table(
        Column("run", whole=True),
        "state",
        *(Column(name, optional=2) for name in ("task", "backbone", "data")),
        Column("metric", optional=1),
        *(Column(name, number=True) for name in ("val", "test")),
        *(Column(name, number=True, optional=2) for name in ("took", "size")),
    )
    for run in runs:
        table.add(
            run.name,
            text(run.state, _STYLES.get(run.state, "")),
            run.task,
            " + ".join(run.backbones),
            run.dataset,
            run.monitor,
            headline(run, "val"),
            headline(run, "test"),
            "" if run.seconds is None else duration(run.seconds),
            numbers.size(run.size),
        )
    screen = console()
    narrowed = table.narrowed(screen.width)
    screen.print(narrowed)
    if left_out := [c.name for c in table.columns if c not in narrowed.columns]:
        told = f"Left out for lack of room: {', '.join(left_out)}. --json prints all columns."
        screen.print(told, style="dim")
    for run in runs:
        if run.reason:
            screen.print(f"! {run.name}: {run.reason}", soft_wrap=True)


def print_comparison(
    runs: Sequence[Run],
    figures: Mapping[tuple[str, str], Sequence[float | None]],
    settings: Mapping[str, Sequence[Any]],
) -> None:
    """Figures side by side, then the settings that are not the same."""
    screen = console()
    table = Table("metric", *(Column(run.name, number=True) for run in runs))
    for (split, name), values in figures.items():
        table.add(f"{split} {name}", *map(readable, values))
    screen.print(table)
    screen.print()
    if not settings:
        screen.print("They do not differ in any setting.")
        return
    table = Table("setting", *(run.name for run in runs))
    for key, values in settings.items():
        table.add(key, *map(shown, values))
    screen.print(table)
