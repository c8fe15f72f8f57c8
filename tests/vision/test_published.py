"""MNIST's and CIFAR's formats read from files, and the sentence when there are none."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision.datasets as zoo
from mmft_vision import published
from mmft_vision.digits import build as build_digits
from mmft_vision.options import PublishedOptions, SplitOptions

from mmft_core.contracts import DatasetContext
from mmft_core.errors import DataError


def write_idx(folder: Path, train: int, test: int) -> None:
    """Write MNIST's four files, in the format that its authors describe."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for name, size in (("train", train), ("t10k", test)):
        images = random.integers(0, 256, (size, 28, 28), dtype=np.uint8)
        labels = np.arange(size, dtype=np.uint8) % 10
        header = struct.pack(">IIII", 0x0803, size, 28, 28)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        header = struct.pack(">II", 0x0801, size)
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(header + labels.tobytes())


@pytest.mark.parametrize(
    ("build", "folder"),
    [(published.build_mnist, "MNIST"), (published.build_fashion_mnist, "FashionMNIST")],
)
def test_existing_files_are_read(tmp_path: Path, build: Any, folder: str) -> None:
    write_idx(tmp_path / folder / "raw", train=100, test=30)
    dataset = build(PublishedOptions(root=str(tmp_path)), DatasetContext())
    assert {n: len(s) for n, s in dataset.splits.items()} == {"train": 90, "val": 10, "test": 30}
    assert len(dataset.info.classes) == 10
    sample = dataset.splits["test"][3]
    assert sample.inputs["image"].size == (28, 28)
    assert sample.target == dataset.info.classes[3]


@pytest.mark.parametrize(
    "build",
    [
        published.build_mnist,
        published.build_fashion_mnist,
        published.build_cifar10,
        published.build_cifar100,
    ],
)
def test_missing_files_that_cannot_be_fetched_end_in_a_sentence(
    tmp_path: Path, build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = "http://127.0.0.1:9/"
    for kind in (zoo.MNIST, zoo.FashionMNIST):
        monkeypatch.setattr(kind, "mirrors", [closed])
    for kind in (zoo.CIFAR10, zoo.CIFAR100):
        monkeypatch.setattr(kind, "url", closed)
    with pytest.raises(DataError, match="cannot be downloaded: http://127.0.0.1:9/") as caught:
        build(PublishedOptions(root=str(tmp_path)), DatasetContext())
    assert "--data-root" in str(caught.value)


def test_a_half_written_download_is_not_taken_for_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo.CIFAR10, "url", "http://127.0.0.1:9/")
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(gzip.compress(b"half"))
    with pytest.raises(DataError, match="cifar10 is not in .*, or not whole"):
        published.build_cifar10(PublishedOptions(root=str(tmp_path)), DatasetContext())


def test_imagenet_says_which_files_it_wants(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="ILSVRC2012_img_train.tar"):
        published.build_imagenet(PublishedOptions(root=str(tmp_path)), DatasetContext())


def test_digits_are_all_there_and_divided_by_class() -> None:
    dataset = build_digits(SplitOptions(), DatasetContext(seed=3))
    sizes = {name: len(split) for name, split in dataset.splits.items()}
    assert sum(sizes.values()) == 1797
    assert 170 <= sizes["val"] <= 190 and 170 <= sizes["test"] <= 190
    test = dataset.splits["test"]
    counts = np.unique([test.target(i) for i in range(len(test))], return_counts=True)[1]
    assert len(counts) == 10 and counts.min() >= 17
    assert np.asarray(test[0].inputs["image"]).max() == 255
