"""The final table of a run."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

_TRIALS = 10
"""Of a sweep that are printed."""


def print_summary(results: Mapping[str, Any], path: Path) -> None:
    """Print the figures of every judged split, and where everything is."""
    console = Console()
    console.print()
    if results["metrics"]:
        console.print(figures_table(results["metrics"]))
    else:
        console.print("There is neither a val nor a test split to judge the model by.")
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
        f"use it  {next_command(results, path)}",
    ):
        console.print(line, highlight=False, soft_wrap=True)
    headline = headline_of(results)
    if headline:
        console.print(f"[bold green]{headline}[/]", highlight=False)


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
    """A row for each single figure, a column for each split; "–" for what is undefined."""
    from mmft_core.report.wording import is_finite

    table = Table("figure", *metrics, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    names = dict.fromkeys(name for values in metrics.values() for name in values)
    for name in names:
        cells = [values.get(name) for values in metrics.values()]
        if not any(isinstance(cell, list) for cell in cells):
            table.add_row(name, *(f"{cell:.4f}" if is_finite(cell) else "–" for cell in cells))
    return table


def headline_of(results: Mapping[str, Any]) -> str:
    """The monitored figure on the best evidence that there is: test, else val."""
    name = results["monitor"]["name"]
    for split in ("test", "val"):
        value = results["metrics"].get(split, {}).get(name)
        if isinstance(value, float | int):
            return f"{split} {name} {value:.4f}"
    return ""


def print_sweep(record: Mapping[str, Any], path: Path) -> None:
    """Print the best trials, what mattered, and how the best is run again."""
    from mmft_core.sweep.record import ranked

    console = Console()
    best = ranked(record)
    states = Counter(trial["state"] for trial in record["trials"])
    console.print()
    if best:
        console.print(_trials_table(record, best[:_TRIALS]))
    for key, share in sorted((record["importance"] or {}).items(), key=lambda item: -item[1]):
        console.print(f"importance of {key}: {share:.1%}", highlight=False)
    words = {"complete": "complete", "pruned": "stopped early", "failed": "failed"}
    told = ", ".join(f"{states[state]} {word}" for state, word in words.items() if states[state])
    console.print(f"{len(record['trials'])} trials: {told}", highlight=False)
    console.print(f"report  {path / 'report.html'}", highlight=False, soft_wrap=True)
    if best:
        again = f"mmft run -c {shlex.quote(str(path / 'best.toml'))}"
        console.print(f"again   {again}", highlight=False, soft_wrap=True)
        line = f"best {record['monitor']} {best[0]['value']:.4f} on val, trial {best[0]['number']}"
        console.print(f"[bold green]{line}[/]", highlight=False)


def _trials_table(record: Mapping[str, Any], trials: Sequence[Mapping[str, Any]]) -> Table:
    from mmft_core.report.wording import setting

    table = Table("trial", record["monitor"], *record["vary"], box=None, pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"
    for column in table.columns[1:]:
        column.justify = "right"
    for trial in trials:
        cells = (setting(trial["params"][key]) for key in record["vary"])
        table.add_row(str(trial["number"]), f"{trial['value']:.4f}", *cells)
    return table
