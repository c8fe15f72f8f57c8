"""Does the peak memory of `mmft run` grow with the data set? One size beside ten times as much.

    pip install -e '.[bench]'
    python benchmarks/peak_memory.py

Both runs take the same number of steps. Memory is the proportional set size of the process and
its workers, so that pages which they share are counted once.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from jpegs import make_jpegs


def peak_megabytes(call: list[str]) -> float:
    """Run a command and sample the memory of it and its children."""
    process = psutil.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = 0
    while process.poll() is None:
        total = 0
        for member in [process, *process.children(recursive=True)]:
            try:
                total += member.memory_full_info().pss
            except psutil.Error:
                continue  # It has just ended.
        peak = max(peak, total)
        time.sleep(0.05)
    if process.returncode:
        sys.exit(process.stderr.read().decode())
    return peak / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=30)
    given = parser.parse_args()
    peaks = []
    for factor in (1, 10):
        with tempfile.TemporaryDirectory() as temporary:
            folder = make_jpegs(Path(temporary) / "jpegs", factor * given.images, (120, 90))
            call = [sys.executable, "-m", "mmft_core", "run", "--task", "image-cls"]
            call += ["--backbone", "resnet18", "--weights", "none", "--dataset", str(folder)]
            call += ["--set", f"engine.steps={given.steps}", "--set", "backbone.image_size=64"]
            call += ["--set", "engine.workers=1", "-o", f"{temporary}/run"]
            peaks.append(peak_megabytes(call))
            print(f"{factor * given.images:7} images: peak {peaks[-1]:7.0f} MB", flush=True)
    print(f"ten times the data, {peaks[1] / peaks[0]:.2f} times the memory")


if __name__ == "__main__":
    main()
