"""The final table of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def print_summary(results: Mapping[str, Any], path: Path) -> None:
    """Print the figures of every judged split, and where everything is."""
    console = Console()
    console.print()
    console.print(figures_table(results["metrics"]))
    timings, monitor = results["timings"], results["monitor"]
    console.print(
        f"trained {results['steps']} steps in {timings['training_seconds']:.0f} s"
        + (f" (best {monitor['name']} at step {monitor['step']})" if monitor["step"] else "")
        + (", stopped early" if results["ending"] == "early" else "")
        + f", {results['parameters']['trained_share']:.2%} of the parameters",
        highlight=False,
    )
    for line in (
        f"report  {path / 'report.html'}",
        f"model   {path / 'model'}",
        f"use it  mmft predict {path} FILES...",
    ):
        console.print(line, highlight=False, soft_wrap=True)
    headline = headline_of(results)
    if headline:
        console.print(f"[bold green]{headline}[/]", highlight=False)


def print_folds(record: Mapping[str, Any], path: Path) -> None:
    """Print mean and spread of every figure over the folds, and where everything is."""
    from mmft_core.report.folds import headline, plus_minus

    console = Console()
    table = Table("figure", *record["figures"], box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for name in dict.fromkeys(name for values in record["figures"].values() for name in values):
        spreads = [values.get(name) for values in record["figures"].values()]
        table.add_row(name, *("" if s is None else plus_minus(s) for s in spreads))
    console.print()
    console.print(table)
    console.print(
        f"mean ± standard deviation of {record['folds']} folds\nreport  {path / 'report.html'}",
        highlight=False,
        soft_wrap=True,
    )
    main = headline(record)
    if main is not None:
        name, split, spread = main
        console.print(f"[bold green]{split} {name} {plus_minus(spread)}[/]", highlight=False)


def figures_table(metrics: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row for each single figure, a column for each split."""
    table = Table("figure", *metrics, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    names = dict.fromkeys(name for values in metrics.values() for name in values)
    for name in names:
        cells = [values.get(name) for values in metrics.values()]
        if all(isinstance(cell, float | int) for cell in cells):
            table.add_row(name, *(f"{cell:.4f}" for cell in cells))
    return table


def headline_of(results: Mapping[str, Any]) -> str:
    """The monitored figure on the best evidence that there is: test, else val."""
    name = results["monitor"]["name"]
    for split in ("test", "val"):
        value = results["metrics"].get(split, {}).get(name)
        if isinstance(value, float | int):
            return f"{split} {name} {value:.4f}"
    return ""
