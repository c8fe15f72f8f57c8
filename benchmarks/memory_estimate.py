"""The memory that `mmft run --dry-run` expects, beside what the run takes.

    pip install -e '.[bench]'
    python benchmarks/memory_estimate.py

Each run takes a few steps on a CPU, in a process of its own. Measured is the peak of its resident
memory (`ru_maxrss`), interpreter and libraries included, as they are in the estimate, which is made
in another process. No process of its own loads data.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

RUNS: dict[str, Sequence[str]] = {
    "image-cls, resnet50, 16 of 128 px": (
        *("--task=image-cls", "--backbone=resnet50", "--weights=none", "--batch-size=16"),
        *("--set=backbone.image_size=128", "--set=dataset.val=0.02", "--set=dataset.test=0.02"),
    ),
    "text-cls, minilm, 32 of 256 tokens": (
        *("--task=text-cls", "--backbone=minilm", "--weights=none", "--batch-size=32"),
        *("--set=backbone.size=small", "--set=backbone.max_length=256"),
        *("--set=dataset.samples=600",),
    ),
    "chat, chat-lm, full": (
        *("--task=chat", "--backbone=chat-lm", "--batch-size=64", "--set=backbone.size=small"),
        *("--set=dataset.facts=12", "--set=task.max_new_tokens=2"),
    ),
    "chat, chat-lm, LoRA": (
        *("--task=chat", "--backbone=chat-lm", "--batch-size=64", "--set=backbone.size=base"),
        *("--set=dataset.facts=12", "--set=task.max_new_tokens=2", "--tune=lora"),
    ),
    "chat, vision-chat, full": (
        *("--task=chat", "--backbone=vision-chat", "--batch-size=64"),
        *("--set=backbone.size=small", "--set=dataset.samples=160", "--set=task.max_new_tokens=2"),
    ),
}


def estimate(arguments: Sequence[str]) -> None:
    """Print the estimate's parts as JSON."""
    from mmft_core.cli.run import run
    from mmft_core.cli.settings import read_settings
    from mmft_core.config.resolving import make_plan
    from mmft_core.discovery import discover
    from mmft_core.run.expected_memory import expected_memory

    given = run.make_context("mmft run", list(arguments)).params
    for name in ("output", "resume", "dry_run", "strict_plugins"):
        given.pop(name)
    registry = discover()
    found = expected_memory(make_plan(read_settings(given, registry), registry))
    print(json.dumps({**asdict(found), "total": found.total}))


def expected(arguments: Sequence[str]) -> dict[str, int]:
    call = [sys.executable, __file__, "--estimate", *arguments]
    ended = subprocess.run(call, stdout=subprocess.PIPE, text=True, check=True)
    parts: dict[str, int] = json.loads(ended.stdout.splitlines()[-1])
    return parts


def measured(arguments: Sequence[str]) -> int:
    """The peak of the resident memory of a run, in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("w") as file:
            call = [sys.executable, "-m", "mmft_core", "run", *arguments, "-o", f"{folder}/run"]
            process = subprocess.Popen(call, stdout=file, stderr=file)
            _, status, usage = os.wait4(process.pid, 0)
        if status:
            sys.exit(log.read_text())
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    if sys.argv[1:2] == ["--estimate"]:
        estimate(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--only", nargs="*", default=list(RUNS), help="Of the names, their starts.")
    parser.add_argument("--precision", default="fp32")
    given = parser.parse_args()
    shown = ("weights", "gradients", "optimizer", "activations", "allocator", "best", "program")
    shown += ("total",)
    more = (f"--set=engine.steps={given.steps}", "--set=engine.workers=0")
    more += (f"--set=engine.precision={given.precision}", "--set=engine.device=cpu")
    headings = [*shown[:-1], "estimate", "measured", ""]
    print(f"| run | {' | '.join(headings)} |")
    print(f"|---|{'--:|' * len(headings)}")
    for name, arguments in RUNS.items():
        if not name.startswith(tuple(given.only)):
            continue
        parts, peak = expected((*arguments, *more)), measured((*arguments, *more))
        cells = (f"{parts[part] / 1e6:,.0f} MB" for part in shown)
        off = parts["total"] / peak - 1
        print(f"| {name} | {' | '.join(cells)} | {peak / 1e6:,.0f} MB | {off:+.0%} |", flush=True)


if __name__ == "__main__":
    main()
