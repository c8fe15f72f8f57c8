"""Starting things in several processes, and what came of them."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Started = subprocess.Popen[str]


def start(world: int, module: str, *arguments: str | Path) -> Started:
    """Start a module in so many processes; one is started without torchrun."""
    several = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world}")
    call = [sys.executable, *(several if world > 1 else ()), "-m", module, *map(str, arguments)]
    return subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def start_runs(
    world: int,
    file: Path,
    calls: Sequence[Sequence[str]],
    endings: Sequence[tuple[int, int, int] | str | None] = (),
) -> Started:
    """Start runs one after the other; see `tests.processes.program`."""
    file.write_text(json.dumps(list(itertools.zip_longest(calls, endings))))
    return start(world, "tests.processes.program", file)


def end(process: Started, seconds: float = 300) -> tuple[int, str]:
    """Wait for the end: the exit code, and what was said."""
    text, _ = process.communicate(timeout=seconds)
    return process.returncode, text


def losses(run: Path) -> list[float]:
    """Those of training and of evaluations, in their order."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [line["loss"] for line in map(json.loads, lines)]


def results(run: Path) -> dict[str, Any]:
    """What `results.json` holds."""
    content: dict[str, Any] = json.loads((run / "results.json").read_text())
    return content


def assert_alike(run: Path, other: Path, tolerance: float = 1e-5) -> None:
    """Two runs have the same losses all along, and the same figures in the end."""
    assert losses(run) == pytest.approx(losses(other), rel=tolerance, abs=tolerance)
    ones, others = results(run)["metrics"], results(other)["metrics"]
    assert ones.keys() == others.keys()
    for split, figures in ones.items():
        for name, value in figures.items():
            if name not in TIMED:
                np.testing.assert_allclose(
                    np.asarray(others[split][name], dtype=float),
                    np.asarray(value, dtype=float),
                    rtol=10 * tolerance,
                    atol=10 * tolerance,
                    err_msg=f"{split} {name}",
                )


TIMED = ("real-time-factor", "calibration-error")
"""Figures that follow from the clock, or jump where a confidence is next to a bound of its bin."""
