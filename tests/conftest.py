"""Real small data that several tests use."""

from __future__ import annotations

import functools
import gc
import os

# Two cores are shared by tests, worker processes and child processes; more threads only wait for
# each other. Set before torch starts its threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmft_transformers.options import SIZES, Size

NARROW = Size(layers=2, width=64, heads=2)


def pytest_configure(config: pytest.Config) -> None:
    """Let pytest-xdist hand out modules in the order of the next function, not by their sizes."""
    config.option.loadscopereorder = False


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[object]:
    """Python does not look for garbage while tests are collected, nor later among what stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules with slow tests come first, so that in the end no process waits for another's."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_disks() -> Iterator[None]:
    """Files are written without waiting for the disk: that is for power cuts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="module", autouse=True)
def usual_cache() -> Iterator[None]:
    """A module leaves the next one the cache with the built-in data, slow to make."""
    usual = os.environ.get("XDG_CACHE_HOME")
    yield
    assert os.environ.get("XDG_CACHE_HOME") == usual


@pytest.fixture
def narrow_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of size tiny are narrower still, for tests in which they need not learn much."""
    monkeypatch.setitem(SIZES, "tiny", NARROW)


@pytest.fixture(scope="module")
def narrow_pictures() -> Iterator[None]:
    """torchvision's large networks have few channels and blocks, for tests of what surrounds them.

    Processes that are started, or forked by `tests.faults.processes`, have whole ones.
    """
    from tests.vision.narrow import narrow_models

    with narrow_models():
        yield


@pytest.fixture(scope="session")
def photographs() -> dict[str, Image.Image]:
    """The two photographs that scikit-learn ships, 427 x 640 pixels."""
    from sklearn.datasets import load_sample_images

    images = load_sample_images().images
    return {"china": Image.fromarray(images[0]), "flower": Image.fromarray(images[1])}


def crops(photograph: Image.Image, number: int, seed: int, side: int = 120) -> list[Image.Image]:
    """Random square cut-outs of a photograph."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(number):
        left = int(random.integers(0, photograph.width - side))
        top = int(random.integers(0, photograph.height - side))
        found.append(photograph.crop((left, top, left + side, top + side)))
    return found


def make_photo_folder(
    root: Path, photographs: dict[str, Image.Image], per_class: int, seed: int = 0
) -> Path:
    """Make a folder of class folders with JPEG cut-outs of the photographs."""
    for label, photograph in photographs.items():
        (root / label).mkdir(parents=True)
        for i, crop in enumerate(crops(photograph, per_class, seed)):
            crop.save(root / label / f"{i:03}.jpg", quality=90)
    return root


@pytest.fixture
def photo_folder(tmp_path: Path, photographs: dict[str, Image.Image]) -> Callable[..., Path]:
    """Make such a folder below the test's own."""

    def make(name: str = "photos", per_class: int = 12, seed: int = 0) -> Path:
        return make_photo_folder(tmp_path / name, photographs, per_class, seed)

    return make


@dataclass(frozen=True)
class Finished:
    """How a call of the command line ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def mmft(capsys: pytest.CaptureFixture[str]) -> Callable[..., Finished]:
    """Call the command line in this process."""
    from mmft_core.cli import main

    def call(*arguments: str | Path) -> Finished:
        capsys.readouterr()
        code = 0
        try:
            main([str(a) for a in arguments])
        except SystemExit as ending:
            code = int(ending.code or 0)
        captured = capsys.readouterr()
        return Finished(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="module")
def tiny_backbone() -> Iterator[None]:
    """Have the plugin of `tests.faults.tiny` installed, for processes that are started as well.

    For tests of what surrounds a training: a run with it costs a quarter of one with resnet18.
    """
    from tests.faults.processes import SITE

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SITE)
        patch.setenv("PYTHONPATH", str(SITE), prepend=os.pathsep)
        yield


def run_arguments(
    output: Path, *more: str | Path, backbone: str = "resnet18"
) -> Sequence[str | Path]:
    """A run that ends in seconds; of the built-in digits it judges few."""
    own = any(str(each).startswith("--dataset") for each in more)
    few = () if own else ("--set", "dataset.val=0.03", "--set", "dataset.test=0.03")
    return (
        "run",
        "--task",
        "image-cls",
        "--backbone",
        backbone,
        "--weights",
        "none",
        "--set",
        "backbone.image_size=32",
        "--set",
        "engine.workers=0",
        "--output",
        output,
        *few,
        *more,
    )


def _set_environment(variables: dict[str, str]) -> None:
    os.environ.update(variables)


@pytest.fixture
def forked_suggest(monkeypatch: pytest.MonkeyPatch) -> None:
    """`mmft suggest` measures in processes that need not import torch anew."""
    from tests.faults.processes import forking

    def process() -> ProcessPoolExecutor:
        # They have the environment of the time when the first was forked, if not told of this one.
        return ProcessPoolExecutor(1, forking(), _set_environment, (dict(os.environ),))

    monkeypatch.setattr("mmft_suggest.command._process", process)


@pytest.fixture(scope="module")
def quick_latencies() -> Iterator[None]:
    """The latency of an export is measured a few times only: tests do not look at it."""
    from mmft_export import comparison

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "_SECONDS", 0.0)
        yield


def _layers(number: int) -> Iterator[None]:
    """While networks of transformers of the size "tiny" have so many layers, and are narrow."""
    from mmft_transformers import sizes

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sizes.SIZES, "tiny", sizes.Size(number, 64, 2))
        yield


@pytest.fixture(scope="module")
def one_layer() -> Iterator[None]:
    """The size "tiny" has one layer: a graph is traced in a quarter of the time."""
    yield from _layers(1)


@pytest.fixture(scope="module")
def two_layers() -> Iterator[None]:
    """The size "tiny" has two layers, where a test is about how layers follow each other."""
    yield from _layers(2)


@pytest.fixture(scope="module")
def onnx_operators() -> Iterator[None]:
    """torch parses the source of all its ONNX operators once, not for each graph (a second)."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with pytest.MonkeyPatch.context() as patch:
        once = staticmethod(functools.cache(ONNXRegistry.from_torchlib))
        patch.setattr(ONNXRegistry, "from_torchlib", once)
        yield
