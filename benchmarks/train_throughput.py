"""Images per second of ResNet-50 on JPEGs: mmft beside the usual loops, in one run.

    pip install -e '.[bench]'
    python benchmarks/train_throughput.py

Every contender runs in a fresh process, in turn over several rounds, so that a machine that slows
down slows all of them; the medians and their ratios are printed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from jpegs import make_jpegs
from peers import CONTENDERS
from rounds import ratio, report, run_rounds

FLOP = 24.6e9
"""Of a picture: ResNet-50 at 224 pixels takes 4.1 G multiplications forward, thrice that in all."""
FP32, BF16 = torch.float32, torch.bfloat16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(CONTENDERS), choices=list(CONTENDERS))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = make_jpegs(Path(temporary) / "jpegs", given.images)
        arguments = (folder, given.batch_size, given.warm_up, given.steps)
        script = Path(__file__).with_name("peers.py")
        results = run_rounds(script, given.only, arguments, given.rounds, "images/s")
    report("ResNet-50", results, "images/s", "bare loop")
    print(f"mmft over hand-tuned: {ratio(results, 'mmft', 'hand-tuned')}")
    limits = {str(dtype).removeprefix("torch."): _products(dtype) for dtype in (FP32, BF16)}
    best = max(limits.values())
    told = ", ".join(f"{name} {limit / 1e9:,.0f}" for name, limit in limits.items())
    print(f"GFLOP/s of matrix products: {told}; the share of the faster that training reaches:")
    for name, measured in results.items():
        rate = statistics.median(r["rate"] for r in measured)
        print(f"{name:14}  {rate * FLOP / best:.2f}")


def _products(dtype: torch.dtype, side: int = 2048) -> float:
    """Floating point operations per second of matrix products, the best of a few."""
    a, b = torch.randn(2, side, side).to(dtype)
    seconds = []
    for _ in range(8):
        started = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - started)
    return 2 * float(side**3) / min(seconds)


if __name__ == "__main__":
    main()
