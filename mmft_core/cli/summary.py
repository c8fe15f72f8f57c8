"""The table at the end of a run."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmft_core.cli.tables import Column, Table, console
from mmft_core.utils.numbers import counted, is_finite, readable

if TYPE_CHECKING:
    from rich.console import Console


def print_summary(results: Mapping[str, Any], path: Path) -> None:
    """Print the metrics of every evaluated split, and where everything is."""
    screen = console()
    screen.print()
    if results["metrics"]:
        screen.print(figures_table(results["metrics"]))
    else:
        screen.print("There is neither a val nor a test split to evaluate the model on.")
    screen.print(_training(results))
    _print_report(screen, path)
    screen.print(f"model   {path / 'model'}", soft_wrap=True)
    screen.print(f"use it  {next_command(results, path)}", soft_wrap=True)
    headline = headline_of(results)
    if headline:
        screen.print(headline, style="bold green")


def _training(results: Mapping[str, Any]) -> str:
    """How much was trained, for how long, and which step was the best."""
    steps, monitor = results["steps"], results["monitor"]
    if not steps:
        return "nothing was trained; the model is unchanged"
    return (
        f"trained {counted(steps, 'step')} in {results['timings']['training_seconds']:.0f} s"
        + (f" (best {monitored(results)} at step {monitor['step']})" if monitor["step"] else "")
        + (", stopped early" if results["ending"] == "early" else "")
        + f", {results['parameters']['trained_share']:.2%} of the parameters"
    )


def monitored(results: Mapping[str, Any]) -> str:
    """The monitored metric, and if it was computed on only some of the val samples, on how many."""
    monitor, total = results["monitor"], results["dataset"]["samples"].get("val", 0)
    used = monitor.get("samples", total)  # Runs of earlier versions do not store it.
    name: str = monitor["name"]
    return name if used in (0, total) else f"{name} over {used:,} of {total:,} val samples"


def next_command(results: Mapping[str, Any], folder: Path) -> str:
    """The command that users of a run, or of what was made of it, most likely need next."""
    run = shlex.quote(str(folder))
    if results.get("usage"):
        return ", or ".join(command.replace("{run}", run) for command in results["usage"])
    if results.get("predicts") in ("embeddings", "pairs"):
        return f"mmft index {run} LIBRARY, then mmft search {run} QUERY"
    return f"mmft predict {run} {inputs_of(results)}"


def print_folds(record: Mapping[str, Any], path: Path) -> None:
    """Print mean and spread of every metric over the folds, and where everything is."""
    screen = console()
    table = _figures(record["figures"])
    for name in dict.fromkeys(name for values in record["figures"].values() for name in values):
        spreads = [values.get(name) for values in record["figures"].values()]
        table.add(name, *("" if s is None else plus_minus(s) for s in spreads))
    screen.print()
    screen.print(table)
    screen.print(f"mean ± standard deviation of {record['folds']} folds")
    _print_report(screen, path)
    main = folds_headline(record)
    if main is not None:
        name, split, spread = main
        screen.print(f"{split} {name} {plus_minus(spread)}", style="bold green")


def figures_table(metrics: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row for each metric that is one number, a column for each split; "–" if undefined."""
    table = _figures(metrics)
    names = dict.fromkeys(name for values in metrics.values() for name in values)
    for name in names:
        cells = [values.get(name) for values in metrics.values()]
        if not any(isinstance(cell, list) for cell in cells):
            table.add(name, *(f"{cell:.4f}" if is_finite(cell) else "–" for cell in cells))
    return table


def headline_of(results: Mapping[str, Any]) -> str:
    """The monitored metric on the best evidence that there is: test, else val."""
    name = results["monitor"]["name"]
    for split in ("test", "val"):
        value = results["metrics"].get(split, {}).get(name)
        if isinstance(value, float | int):
            return f"{split} {name} {value:.4f}"
    return ""


def _print_report(screen: Console, path: Path) -> None:
    report = path / "report.html"
    if report.is_file():  # It may be left out.
        screen.print(f"report  {report}", soft_wrap=True)


def _figures(splits: Iterable[str]) -> Table:
    return Table("metric", *(Column(split, number=True) for split in splits))


def inputs_of(results: Mapping[str, Any]) -> str:
    """What `mmft predict` takes: files, or a table, for rows and samples of several modalities."""
    for command in results.get("usage", ()):
        _, found, inputs = command.partition("mmft predict {run} ")
        if found:
            return str(inputs)
    files = len(results.get("reads", ())) < 2 and results.get("reads_files", True)
    return "FILES..." if files else "--dataset TABLE"


def plus_minus(spread: Mapping[str, Any]) -> str:
    """0.9762 ± 0.0081, and how many folds define it if some do not: (3 of 5)."""
    if spread["mean"] is None:
        return "–"
    defined = sum(value is not None for value in spread["folds"])
    some = f" ({defined} of {len(spread['folds'])})" if defined < len(spread["folds"]) else ""
    return f"{readable(spread['mean'])} ± {readable(spread['std'])}{some}"


def folds_headline(record: Mapping[str, Any]) -> tuple[str, str, Mapping[str, Any]] | None:
    """Name, split and spread of the monitored metric: on test where there is one, else on val."""
    for split in ("test", "val"):
        spread = record["figures"].get(split, {}).get(record["monitor"])
        if spread is not None and spread["mean"] is not None:
            return record["monitor"], split, spread
    return None
