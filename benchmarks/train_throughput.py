"""Images per second of ResNet-50 on JPEGs: mmft beside the usual loops, in one run.

    pip install -e '.[bench]'
    python benchmarks/train_throughput.py

Every contender runs in a fresh process, in turn over several rounds, so that a machine that slows
down slows all of them; the medians and their ratios are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from jpegs import make_jpegs
from peers import CONTENDERS


def measure(name: str, folder: Path, batch_size: int, warm_up: int, steps: int) -> dict[str, float]:
    """Run one contender; what it prints last is its result."""
    peers = Path(__file__).with_name("peers.py")
    numbers = map(str, (batch_size, warm_up, steps))
    ended = subprocess.run(
        [sys.executable, str(peers), name, str(folder), *numbers],
        capture_output=True,
        text=True,
    )
    if ended.returncode:
        sys.exit(f"{name} failed:\n{ended.stderr}")
    result: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(CONTENDERS), choices=list(CONTENDERS))
    given = parser.parse_args()
    results: dict[str, list[dict[str, float]]] = {name: [] for name in given.only}
    with tempfile.TemporaryDirectory() as temporary:
        folder = make_jpegs(Path(temporary) / "jpegs", given.images)
        for number in range(given.rounds):
            for name in given.only:
                result = measure(name, folder, given.batch_size, given.warm_up, given.steps)
                results[name].append(result)
                rate = result["images_per_second"]
                print(f"round {number + 1}  {name:10}  {rate:6.2f} images/s", flush=True)
    report(results)


def report(results: dict[str, list[dict[str, float]]]) -> None:
    """Print medians, and each round's ratios, which a drifting machine disturbs least."""
    print(f"\nResNet-50, {os.cpu_count()} cores; medians of {len(next(iter(results.values())))}")
    print(f"{'':10}  images/s  peak MB  over bare loop")
    for name, rounds in results.items():
        rate = statistics.median(r["images_per_second"] for r in rounds)
        memory = statistics.median(r["peak_mb"] for r in rounds)
        print(f"{name:10}  {rate:8.2f}  {memory:7.0f}  {_ratio(results, name, 'bare loop')}")
    print(f"mmft over hand-tuned: {_ratio(results, 'mmft', 'hand-tuned')}")


def _ratio(results: dict[str, list[dict[str, float]]], name: str, other: str) -> str:
    if name not in results or other not in results:
        return "-"
    pairs = zip(results[name], results[other], strict=True)
    ratio = statistics.median(a["images_per_second"] / b["images_per_second"] for a, b in pairs)
    return f"{ratio:.2f}x"


if __name__ == "__main__":
    main()
