"""Kill runs at random, go on with them, and compare what they end with, bit by bit.

    python -m tests.faults.kills --kills 100 --seed 1

A run is killed as by `kill -9`: at any moment, at any operation on its files, or soon after a
checkpoint; with its worker processes or without them; once or several times in a row. With
`--kinds full` the disk is full from some operation on, which must end in one sentence. Then it is
resumed to its end, which must be the one of a run that nobody disturbed: the same weights in every
bit, the same loss at every step.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.faults.operations import die_at, full_from
from tests.faults.processes import TINY, Cli, new_run

KILLS = ("moment", "operation", "checkpoint")


@dataclass(frozen=True)
class Ending:
    """What a run comes to.

    Attributes:
        losses: of each step.
    """

    weights: bytes
    losses: dict[int, float]
    figures: dict[str, Any]

    @classmethod
    def read(cls, run: Path) -> Ending:
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        steps = [line for line in lines if "lr" in line]
        assert len({line["step"] for line in steps}) == len(steps), "a step is told of twice"
        results = json.loads((run / "results.json").read_text())
        return cls(
            (run / "model" / "model.safetensors").read_bytes(),
            {line["step"]: line["loss"] for line in steps},
            results["metrics"],
        )


@dataclass
class Harness:
    """Runs that are killed, below a folder.

    Attributes:
        faults: the kinds of faults that are drawn from.
        kinds: how many there were of each.
        states: what was there of the runs by then.
        resumed: how many runs were brought to their end.
    """

    folder: Path
    draw: random.Random
    faults: Sequence[str] = KILLS
    kinds: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    resumed: int = 0

    def __post_init__(self) -> None:
        run, tally = self.folder / "whole", self.folder / "tally"
        Cli(["--version"], self.folder / "log").wait()  # By then all is imported.
        started = time.perf_counter()
        code = self._start(run, first=partial(die_at, run, None, tally)).wait()
        assert code == 0, (self.folder / "log").read_text()
        self.seconds = time.perf_counter() - started
        self.operations = tally.stat().st_size
        self.whole = Ending.read(run)

    def go(self, kills: int) -> None:
        """Kill so often; every run ends like the one that was not."""
        while sum(self.kinds.values()) < kills:
            run = self.folder / "run"
            workers = self.draw.choice([0, 0, 1])
            for _ in range(self.draw.randint(1, 3)):
                if sum(self.kinds.values()) < kills:
                    self._disturb(run, workers)
            self._bring_to_end(run, workers)
            ending = Ending.read(run)
            assert ending.weights == self.whole.weights, "the weights differ"
            assert ending.losses == self.whole.losses, "the losses differ"
            assert ending.figures == self.whole.figures, "the figures differ"
            shutil.rmtree(run)
            self.resumed += 1

    def _start(self, run: Path, workers: int = 0, first: Any = None) -> Cli:
        begun = (run / "config.toml").exists()
        arguments = ["run", "--resume", run] if begun else new_run(run, engine__workers=workers)
        return Cli(arguments, self.folder / "log", first)

    def _disturb(self, run: Path, workers: int) -> None:
        if (run / "results.json").exists():
            return
        kind, first = self.draw.choice(self.faults), None
        if kind in ("operation", "full"):
            number = self.draw.randint(1, self.operations)
            fault = die_at if kind == "operation" else full_from
            first = partial(fault, run, number, self.folder / "tally")
        process = self._start(run, workers, first)
        if kind == "moment":
            time.sleep(self.draw.uniform(0, self.seconds))
        elif kind == "checkpoint":
            step = self.draw.randint(1, int(str(TINY["engine.steps"])))
            process.wait_for(run / "checkpoints" / f"step-{step}")
            time.sleep(self.draw.uniform(0, 0.1))
        group = self.draw.random() < 0.5
        code = process.wait() if first is not None else process.kill(group=group)
        if code == 0:
            return  # It was done before.
        if kind == "full":
            assert code == 2 and "No space is left to write" in process.text, process.text
            assert "Traceback" not in process.text, process.text
        else:
            assert code == -9, process.text
        self.kinds[kind] += 1
        self.states[_state(run)] += 1

    def _bring_to_end(self, run: Path, workers: int) -> None:
        if (run / "results.json").exists():  # It was killed while it cleared up.
            return
        process = self._start(run, workers)
        code = process.wait()
        assert code == 0, process.text
        left = [p.name for p in run.rglob(".*") if p.is_file() or p.is_dir()]
        assert not left, f"left behind: {left}"


def _state(run: Path) -> str:
    """How far a killed run was."""
    if (run / "results.json").exists():
        return "finished"
    if (run / "model").exists():
        return "writing what it leaves"
    if any((run / "checkpoints").glob("step-*")):
        return "training"
    return "begun, without a checkpoint" if (run / "config.toml").exists() else "not begun"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", default=KILLS, choices=[*KILLS, "full"])
    given = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        harness = Harness(Path(folder), random.Random(given.seed), given.kinds)
        print(
            f"an undisturbed run takes {harness.seconds:.1f} s and {harness.operations} operations "
            "on files",
            flush=True,
        )
        harness.go(given.kills)
    print(f"{sum(harness.kinds.values())} kills, by {dict(harness.kinds)}")
    print(f"of runs that were, by then: {dict(harness.states)}")
    print(f"{harness.resumed} runs resumed and ended with equal weights, losses and figures")
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
