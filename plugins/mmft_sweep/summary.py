"""What a sweep prints when it has ended."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmft_core.cli import Column, Table, console
from mmft_core.utils import counted
from mmft_report.wording import setting
from mmft_sweep.record import ranked

_TRIALS = 10
"""Trials that are printed."""


def print_sweep(record: Mapping[str, Any], path: Path) -> None:
    """Print the best trials, what mattered, and the command that runs the best again."""
    screen = console()
    best = ranked(record)
    states = Counter(trial["state"] for trial in record["trials"])
    screen.print()
    if best:
        screen.print(_trials_table(record, best[:_TRIALS]))
    for key, share in sorted((record["importance"] or {}).items(), key=lambda item: -item[1]):
        screen.print(f"importance of {key}: {share:.1%}")
    words = {"complete": "complete", "pruned": "stopped early", "failed": "failed"}
    told = ", ".join(f"{states[state]} {word}" for state, word in words.items() if states[state])
    screen.print(f"{counted(len(record['trials']), 'trial')}: {told}")
    screen.print(f"report  {path / 'report.html'}", soft_wrap=True)
    if best:
        again = f"mmft run -c {shlex.quote(str(path / 'best.toml'))}"
        screen.print(f"again   {again}", soft_wrap=True)
        line = f"best {record['monitor']} {best[0]['value']:.4f} on val, trial {best[0]['number']}"
        screen.print(line, style="bold green")


def _trials_table(record: Mapping[str, Any], trials: Sequence[Mapping[str, Any]]) -> Table:
    numbers = (Column(name, number=True) for name in (record["monitor"], *record["vary"]))
    table = Table("trial", *numbers)
    for trial in trials:
        cells = (setting(trial["params"][key]) for key in record["vary"])
        table.add(str(trial["number"]), f"{trial['value']:.4f}", *cells)
    return table
