"""Images per second of ResNet-50 on JPEGs: mmft beside the usual loops, in one run.

    pip install -e '.[bench]'
    python benchmarks/train_throughput.py

Every contender runs in a fresh process, in turn over several rounds, so that a machine that slows
down slows all of them; the medians and their ratios are printed.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from jpegs import make_jpegs
from peers import CONTENDERS
from rounds import ratio, report, run_rounds


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


if __name__ == "__main__":
    main()
