"""Published data sets in torchvision's formats: existing files are read, missing ones fetched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torchvision.datasets as zoo

from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo
from mmft_core.errors import DataError, WeightsError
from mmft_core.splits import divide
from mmft_core.weights import ensure_reachable
from mmft_vision.digits import Pictures
from mmft_vision.images import ImageFiles
from mmft_vision.options import PublishedOptions


@dataclass(frozen=True)
class _Source:
    """A data set that torchvision reads into memory and can download."""

    name: str
    kind: type[Any]
    expects: str
    url: Callable[[], str]
    source: str
    licence: str


def _build(source: _Source, options: PublishedOptions, context: DatasetContext) -> Dataset:
    train = _load(source, options, train=True)
    test = _load(source, options, train=False)
    classes = tuple(str(name) for name in train.classes)
    labels = np.asarray(train.targets, dtype=np.int64)
    pictures = Pictures(f"{source.name}/train", np.asarray(train.data), labels, classes)
    test_labels = np.asarray(test.targets, dtype=np.int64)
    return Dataset(
        info=DatasetInfo(
            name=source.name, classes=classes, source=source.source, licence=source.licence
        ),
        splits={
            **divide(pictures, labels, {"val": options.val}, context.seed),
            "test": Pictures(f"{source.name}/test", np.asarray(test.data), test_labels, classes),
        },
    )


def _load(source: _Source, options: PublishedOptions, *, train: bool) -> Any:
    """Read one split, downloading it if it is not there.

    Raises:
        DataError: it is not there and cannot be downloaded.
    """
    root = Path(options.root).expanduser()
    try:
        return source.kind(root, train=train, download=False)
    except RuntimeError:  # torchvision: "Dataset not found or corrupted."
        pass
    try:
        ensure_reachable(source.url())
        return source.kind(root, train=train, download=True)
    except (WeightsError, RuntimeError, OSError) as error:
        reason = error.message if isinstance(error, WeightsError) else str(error).split("\n")[0]
        raise DataError(
            f"{source.name} is not in {root}, or not whole, and cannot be downloaded: {reason}",
            hint=f"Put {source.expects} there, or give the folder that has it as --data-root.",
        ) from None


def _mnist_like(name: str, kind: type[Any], source: str, licence: str) -> _Source:
    folder = f"{kind.__name__}/raw/"
    return _Source(
        name=name,
        kind=kind,
        expects=f"{folder}train-images-idx3-ubyte and its three companions",
        url=lambda: str(kind.mirrors[0]),
        source=source,
        licence=licence,
    )


_MNIST = _mnist_like("mnist", zoo.MNIST, "LeCun, Cortes and Burges, 1998", "CC BY-SA 3.0")
_FASHION = _mnist_like("fashion-mnist", zoo.FashionMNIST, "Xiao, Rasul and Vollgraf, 2017", "MIT")
_CIFAR10 = _Source(
    "cifar10",
    zoo.CIFAR10,
    "cifar-10-batches-py/",
    lambda: str(zoo.CIFAR10.url),
    "Krizhevsky, 2009",
    "unknown",
)
_CIFAR100 = _Source(
    "cifar100",
    zoo.CIFAR100,
    "cifar-100-python/",
    lambda: str(zoo.CIFAR100.url),
    "Krizhevsky, 2009",
    "unknown",
)


def build_mnist(options: PublishedOptions, context: DatasetContext) -> Dataset:
    """MNIST: 60,000 training and 10,000 test digits of 28x28 pixels."""
    return _build(_MNIST, options, context)


def build_fashion_mnist(options: PublishedOptions, context: DatasetContext) -> Dataset:
    """Fashion-MNIST: 60,000 training and 10,000 test pictures of 28x28 pixels."""
    return _build(_FASHION, options, context)


def build_cifar10(options: PublishedOptions, context: DatasetContext) -> Dataset:
    """CIFAR-10: 50,000 training and 10,000 test pictures of 32x32 pixels."""
    return _build(_CIFAR10, options, context)


def build_cifar100(options: PublishedOptions, context: DatasetContext) -> Dataset:
    """CIFAR-100: 50,000 training and 10,000 test pictures of 32x32 pixels."""
    return _build(_CIFAR100, options, context)


def build_imagenet(options: PublishedOptions, context: DatasetContext) -> Dataset:
    """ImageNet-1k from existing files; its validation set serves as the test split.

    Raises:
        DataError: the files are not there. ImageNet may only be had from its authors.
    """
    root = Path(options.root).expanduser()
    try:
        train, test = zoo.ImageNet(root, "train"), zoo.ImageNet(root, "val")
    except (RuntimeError, OSError) as error:
        raise DataError(
            f"ImageNet is not in {root}: {str(error).split(chr(10))[0]}",
            hint="Its licence forbids automatic downloads. Put ILSVRC2012_img_train.tar, "
            "ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz there, or give the folder "
            "that has them as --data-root.",
        ) from None
    classes = tuple(", ".join(names) for names in train.classes)
    files = _image_files(root, train, classes)
    return Dataset(
        info=DatasetInfo(
            name="imagenet",
            classes=classes,
            source="Russakovsky et al., 2015",
            licence="research only, see image-net.org",
        ),
        splits={
            **divide(files, files.labels, {"val": options.val}, context.seed),
            "test": _image_files(root, test, classes),
        },
    )


def _image_files(root: Path, folder: Any, classes: tuple[str, ...]) -> ImageFiles:
    names = pa.array([str(Path(path).relative_to(root)) for path, _ in folder.samples])
    labels = np.array([label for _, label in folder.samples], dtype=np.int64)
    return ImageFiles(root, names, labels, classes)
