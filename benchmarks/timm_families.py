"""Every family of timm through the conformance kit: the smallest network of each of its modules.

    pip install -e examples/mmft-timm && python benchmarks/timm_families.py
    python benchmarks/timm_families.py --model resnet26 vit_tiny_patch16_224 --image-size 96

Pictures are of one small size where a network takes it, and else of its own. From random weights.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import multiprocessing
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest
import timm
import torch

from mmft_core import BackboneSpec
from mmft_core.discovery import discover
from mmft_core.errors import ConfigError
from mmft_testing import backbones
from mmft_testing.workbench import Workbench

LARGEST = 60e6
"""Parameters; a family whose smallest network has more is left out."""


def smallest() -> list[tuple[str, str, int]]:
    """(family, network, parameters) of each of timm's modules."""
    found = []
    for family in timm.list_modules():
        sizes = {}
        for name in timm.list_models(module=family):
            with torch.device("meta"), contextlib.suppress(Exception):
                network = timm.create_model(name, num_classes=0)
                sizes[name] = sum(p.numel() for p in network.parameters())
        if sizes:
            name = min(sizes, key=lambda n: sizes[n])
            found.append((family, name, sizes[name]))
    return found


def check(model: str, image_size: int | None) -> collections.Counter[str]:
    """What the kit says of a network: by check that fails, why."""
    # By modality, as the data that the kit takes recommend another size.
    settings = {"backbone.model": model, "backbone.image.image_size": image_size}
    warnings.filterwarnings("ignore")
    registry = discover()
    component = registry.get(BackboneSpec, "timm")
    bench = Workbench(registry, settings, [])
    said: collections.Counter[str] = collections.Counter()
    for one in backbones.CHECKS:
        try:
            one(bench, component)
        except ConfigError:
            raise
        except pytest.skip.Exception as reason:
            said[f"skipped {one.__name__}: {reason}"] += 1
        except Exception as error:
            said[f"FAILED {one.__name__}: {type(error).__name__}: {str(error)[:160]}"] += 1
    return said


def apart(model: str, image_size: int | None) -> collections.Counter[str]:
    """The same in a process of its own, which a network may bring down."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(check, model, image_size).result()
        except BrokenProcessPool:
            return collections.Counter(["FAILED: the process died"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", nargs="+", default=[])
    parser.add_argument("--image-size", type=int, default=64)
    options = parser.parse_args()
    good = tried = 0
    for family, name, size in [("", n, 0) for n in options.model] or smallest():
        if size > LARGEST:
            print(f"{family:24} {name:36} left out: {size / 1e6:.0f} M parameters", flush=True)
            continue
        started, sides = time.monotonic(), (options.image_size, None)
        for side in sides:
            try:
                said = apart(name, side)
            except ConfigError as error:
                said = collections.Counter([f"FAILED {error.message[:200]}"])
                continue
            break
        failed = [line for line in said if line.startswith("FAILED")]
        tried, good = tried + 1, good + (not failed)
        state = "passes" if not failed else "FAILS"
        seconds, pixels = time.monotonic() - started, f"{side or 'own'} px"
        row = f"{family:24} {name:36} {size / 1e6:5.1f} M  {pixels:7} {state} ({seconds:.0f} s)"
        print(row, flush=True)
        for line in said:
            print(f"    {line}", flush=True)
    print(f"{good} of {tried} families pass every check")


if __name__ == "__main__":
    main()
