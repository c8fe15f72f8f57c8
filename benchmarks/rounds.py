"""Contenders in turn, each in a process of its own, over several rounds.

A machine that slows down then slows all of them; ratios are taken within rounds.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

Results = Mapping[str, Sequence[Mapping[str, float]]]


def run_rounds(
    script: Path, names: Sequence[str], arguments: Sequence[object], rounds: int, unit: str
) -> Results:
    """Run `script NAME ARGUMENTS...` for every name in every round.

    Each prints a JSON object with its "rate" and its "peak_mb" last, and with the share of its time
    that it waited for data, if it knows.
    """
    results: dict[str, list[Mapping[str, float]]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names:
            result = _measure(script, name, arguments)
            results[name].append(result)
            print(f"round {number + 1}  {name:14}  {result['rate']:8.2f} {unit}", flush=True)
    return results


def report(title: str, results: Results, unit: str, base: str) -> None:
    """Print medians, and those of each round's ratios over `base`."""
    rounds = len(next(iter(results.values())))
    print(f"\n{title}, {os.cpu_count()} cores; medians of {rounds}")
    print(f"{'':14}  {unit:>10}  peak MB  waiting  over {base}")
    for name, measured in results.items():
        rate = statistics.median(r["rate"] for r in measured)
        memory = statistics.median(r["peak_mb"] for r in measured)
        waits = [r["waiting"] for r in measured if "waiting" in r]
        waiting = f"{statistics.median(waits):.1%}" if waits else "-"
        over = ratio(results, name, base)
        print(f"{name:14}  {rate:10.2f}  {memory:7.0f}  {waiting:>7}  {over}")


def ratio(results: Results, name: str, other: str) -> str:
    if name not in results or other not in results:
        return "-"
    pairs = zip(results[name], results[other], strict=True)
    return f"{statistics.median(a['rate'] / b['rate'] for a, b in pairs):.2f}x"


def print_result(rate: float, waiting: float | None = None) -> None:
    """What a contender's process ends with."""
    from mmft_core.run.results import peak_memory_bytes

    result = {"rate": rate, "peak_mb": peak_memory_bytes() / 1e6}
    print(json.dumps(result if waiting is None else {**result, "waiting": waiting}))


def _measure(script: Path, name: str, arguments: Sequence[object]) -> dict[str, float]:
    command = [sys.executable, str(script), name, *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        sys.exit(f"{name} failed:\n{ended.stderr}")
    result: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return result
