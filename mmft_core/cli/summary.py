"""The final table of a run."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmft_core.cli.tables import Column, Table, console


def print_summary(results: Mapping[str, Any], path: Path) -> None:
    """Print the figures of every judged split, and where everything is."""
    screen = console()
    screen.print()
    if results["metrics"]:
        screen.print(figures_table(results["metrics"]))
    else:
        screen.print("There is neither a val nor a test split to judge the model by.")
    timings, monitor = results["timings"], results["monitor"]
    screen.print(
        f"trained {results['steps']} steps in {timings['training_seconds']:.0f} s"
        + (f" (best {monitor['name']} at step {monitor['step']})" if monitor["step"] else "")
        + (", stopped early" if results["ending"] == "early" else "")
        + f", {results['parameters']['trained_share']:.2%} of the parameters"
    )
    for line in (
        f"report  {path / 'report.html'}",
        f"model   {path / 'model'}",
        f"use it  {next_command(results, path)}",
    ):
        screen.print(line, soft_wrap=True)
    headline = headline_of(results)
    if headline:
        screen.print(headline, style="bold green")


def next_command(results: Mapping[str, Any], folder: Path) -> str:
    """The command with which a user of a run, or of what was made of it, most likely goes on."""
    from mmft_core.report.wording import inputs_of

    run = shlex.quote(str(folder))
    if results.get("predicts") in ("embeddings", "pairs"):
        return f"mmft index {run} LIBRARY, then mmft search {run} QUERY"
    return f"mmft predict {run} {inputs_of(results)}"


def print_folds(record: Mapping[str, Any], path: Path) -> None:
    """Print mean and spread of every figure over the folds, and where everything is."""
    from mmft_core.report.folds import headline, plus_minus

    screen = console()
    table = _figures(record["figures"])
    for name in dict.fromkeys(name for values in record["figures"].values() for name in values):
        spreads = [values.get(name) for values in record["figures"].values()]
        table.add(name, *("" if s is None else plus_minus(s) for s in spreads))
    screen.print()
    screen.print(table)
    screen.print(f"mean ± standard deviation of {record['folds']} folds")
    screen.print(f"report  {path / 'report.html'}", soft_wrap=True)
    main = headline(record)
    if main is not None:
        name, split, spread = main
        screen.print(f"{split} {name} {plus_minus(spread)}", style="bold green")


def figures_table(metrics: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row for each single figure, a column for each split; "–" for what is undefined."""
    from mmft_core.report.wording import is_finite

    table = _figures(metrics)
    names = dict.fromkeys(name for values in metrics.values() for name in values)
    for name in names:
        cells = [values.get(name) for values in metrics.values()]
        if not any(isinstance(cell, list) for cell in cells):
            table.add(name, *(f"{cell:.4f}" if is_finite(cell) else "–" for cell in cells))
    return table


def headline_of(results: Mapping[str, Any]) -> str:
    """The monitored figure on the best evidence that there is: test, else val."""
    name = results["monitor"]["name"]
    for split in ("test", "val"):
        value = results["metrics"].get(split, {}).get(name)
        if isinstance(value, float | int):
            return f"{split} {name} {value:.4f}"
    return ""


def _figures(splits: Iterable[str]) -> Table:
    return Table("figure", *(Column(split, number=True) for split in splits))
