"""An epoch of training a head: with the frozen backbone in the loop, and from kept features.

    pip install -e '.[bench]'
    python benchmarks/cached_features.py

Both train the same head on the same JPEGs, in fresh processes that take turns; an epoch includes
its validation. The figures of both models on the validation split are printed beside the ratio.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        folder = make_jpegs(place / "jpegs", given.images)
        for number in range(given.rounds):
            loop, kept = (
                train(folder, place, place / f"{number}-{how}", given, how)
                for how in ("never", "always")
            )
            ratios.append(loop["epoch"] / kept["epoch"])
            print(
                f"round {number + 1}  in the loop {loop['epoch']:.3f} s an epoch, kept "
                f"{kept['epoch']:.3f} s: {ratios[-1]:.0f}x;  val loss {loop['loss']:.6f} and "
                f"{kept['loss']:.6f}, accuracy {loop['accuracy']:.4f} and {kept['accuracy']:.4f}",
                flush=True,
            )
    print(f"\n{given.backbone}, {given.images} pictures: median {statistics.median(ratios):.0f}x")


def train(
    data: Path, cache: Path, output: Path, given: argparse.Namespace, how: str
) -> dict[str, float]:
    """Train a head; give seconds of an epoch and the last figures on val."""
    command = [
        sys.executable, "-m", "mmft_core", "run", "--task", "image-cls",
        "--backbone", given.backbone, "--weights", "none", "--tune", "head",
        "--dataset", str(data), "--epochs", str(given.epochs), "-o", str(output),
        "--set", "backbone.augment=none", "--set", f"engine.cache_features={how}",
    ]  # fmt: skip
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    if ended.returncode:
        sys.exit(ended.stderr)
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    results = json.loads((output / "results.json").read_text())
    last = [line for line in lines if line.get("split") == "val"][-1]
    seconds = results["timings"]["training_seconds"]
    return {
        "epoch": seconds / given.epochs,
        "loss": last["loss"],
        "accuracy": last["accuracy"],
    }


if __name__ == "__main__":
    main()
