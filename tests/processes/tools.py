"""Starting things in several processes, and what came of them."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmft_transformers.options import SIZES
from tests.conftest import NARROW
from tests.faults.processes import SITE, forking
from tests.vision.narrow import narrow_models


class Together:
    """A function in several processes that train together, forked instead of started.

    They find what torchrun sets for its workers, and like torchrun this ends all of them when one
    has failed; it costs none of the imports.
    """

    def __init__(self, world: int, log: Path, function: Callable[[Any], None], argument: Any):
        """Args:
        log: takes what they print.
        function: is called in each process; must be one of a module.
        """
        from torch.distributed import TCPStore

        self.log = log
        log.unlink(missing_ok=True)
        self._store = TCPStore(
            "127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(minutes=5)
        )
        self._members: list[BaseProcess] = []
        for rank in range(world):
            place = _place(rank, world, self._store.port) if world > 1 else {}
            member = forking().Process(
                target=_member, args=(place, log, function, argument), daemon=True
            )
            member.start()
            self._members.append(member)

    def end(self, seconds: float = 300) -> tuple[int, str]:
        """Wait for the end: the exit code of the first that failed, if any, and what was said.

        Signals that ended a process have negative numbers.
        """
        left = {member.sentinel: member for member in self._members}
        code = 0
        while left:
            ended = connection.wait(list(left), seconds)
            assert ended, f"they do not end: {self.log.read_text()}"
            for sentinel in ended:
                member = left.pop(sentinel)  # type: ignore[index]
                member.join()
                code = code or member.exitcode or 0
            if code:
                for member in left.values():
                    member.terminate()
        return code, self.log.read_text()


def _place(rank: int, world: int, port: int) -> dict[str, str]:
    """A process's place among others, in the words of torchrun."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": "0",
    }


def _member(
    place: dict[str, str], log: Path, function: Callable[[Any], None], argument: Any
) -> None:
    os.environ.update(place)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.path.insert(0, str(SITE))
    SIZES["tiny"] = NARROW
    with narrow_models():
        function(argument)


def start_runs(
    world: int,
    file: Path,
    calls: Sequence[Sequence[str]],
    endings: Sequence[tuple[int, int, int] | str | None] = (),
) -> Together:
    """Start runs one after the other; see `tests.processes.program`.

    Args:
        file: takes what they print.
    """
    from tests.processes.program import main

    return Together(world, file, main, list(itertools.zip_longest(calls, endings)))


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
