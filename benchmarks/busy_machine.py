"""How fast a run trains beside other work.

    python benchmarks/busy_machine.py
    python benchmarks/busy_machine.py --precision bf16 --rounds 3

A ResNet-18 from random weights on the built-in digits, by `mmft run` in a process of its own:
alone; beside a process that computes all the time; beside one that goes first, for the run has a
lower priority; and with the quota of one CPU (of a cgroup of its own, which needs root, else by
affinity). Once as it comes, where threads follow the machine, and once with the number of threads
fixed. All take turns; medians of samples per second of training, and their share of the quiet speed
as it comes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

PLACES = ("alone", "beside a process", "beside one that goes first", "a quota of one CPU")
_GROUPS = (
    ("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", "100000"),
    ("/sys/fs/cgroup", "cpu.max", "100000 100000"),
)
"""Where cgroups of version 1 and 2 are made, and what in them limits CPUs."""


@contextlib.contextmanager
def neighbour(there: bool) -> Iterator[None]:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(there)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


@contextlib.contextmanager
def one_cpu() -> Iterator[list[str]]:
    """What a command begins with to have one CPU."""
    for root, file, limit in _GROUPS:
        group = Path(root) / f"mmft-benchmark-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if (group / file).exists():  # Else this is no cgroup.
                (group / file).write_text(limit)
                yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$0" "$@"']
                return
        finally:
            group.rmdir()
    yield ["taskset", "-c", str(min(os.sched_getaffinity(0)))]


def rate(place: str, more: list[str], steps: int) -> float:
    """Samples per second of a run."""
    with contextlib.ExitStack() as stack:
        output = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "run"
        stack.enter_context(neighbour(place.startswith("beside")))
        before = stack.enter_context(one_cpu()) if place == PLACES[3] else []
        before += ["nice", "-n", "10"] if place == PLACES[2] else []
        command = [*before, sys.executable, "-m", "mmft_core", "run", "--task=image-cls"]
        command += ["--backbone=resnet18", "--weights=none", "--set=backbone.image_size=32"]
        command += ["--batch-size=16", f"--set=engine.steps={steps}", f"--output={output}"]
        command += [f"--set=engine.eval_every={steps}", *more]
        ended = subprocess.run(command, capture_output=True, text=True)
        if ended.returncode:
            sys.exit(ended.stderr)
        for line in (ended.stdout + ended.stderr).splitlines():
            if "Timed steps" in line or "threads, which" in line or "threads again" in line:
                print(f"    {place}: {line.strip()}", file=sys.stderr)
        results = json.loads((output / "results.json").read_text())
        return float(results["timings"]["samples_per_second"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--places", nargs="+", choices=PLACES, default=PLACES)
    given = parser.parse_args()
    precision = f"--set=engine.precision={given.precision}"
    threads = len(os.sched_getaffinity(0))
    contenders = {
        "as it comes": [precision],
        f"{threads} threads": [precision, f"--set=engine.threads={threads}"],
    }
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(given.rounds):
        for place in given.places:
            for name, settings in contenders.items():
                found.setdefault((place, name), []).append(rate(place, settings, given.steps))
    print(f"{threads} CPUs, {given.precision}; samples/s, and the share of the quiet speed\n")
    print("| | " + " | ".join(contenders) + " |")
    print("|---" * (len(contenders) + 1) + "|")
    quiet = statistics.median(found[given.places[0], "as it comes"])
    for place in given.places:
        speeds = [statistics.median(found[place, name]) for name in contenders]
        cells = [f"{speed:.1f} ({speed / quiet:.2f})" for speed in speeds]
        print(f"| {place} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
