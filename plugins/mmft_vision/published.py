"""Published data sets in torchvision's formats: existing files are read, missing ones fetched."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torchvision.datasets as zoo

from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo
from mmft_core.data.set_aside import set_aside
from mmft_core.errors import DataError, WeightsError
from mmft_core.reachable import ensure_reachable
from mmft_vision.digits import Pictures
from mmft_vision.options import PublishedOptions

PATIENCE = 60.0
"""A download in which nothing arrives for so many seconds has failed."""


@dataclass(frozen=True)
class _Source:
    """A data set that torchvision reads into memory and can download.

    Attributes:
        expects: which files it needs, for messages.
        urls: gives a file of each place that has it.
    """

    name: str
    kind: type[Any]
    expects: str
    urls: Callable[[], list[str]]
    source: str
    licence: str


def _build(source: _Source, options: PublishedOptions, context: DatasetContext) -> Dataset:
    root = Path(options.root).expanduser()
    train, test = _load(source, root, train=True), _load(source, root, train=False)
    classes = tuple(str(name) for name in train.classes)
    pictures = _pictures(source, train, "train", classes)
    splits, notes = set_aside(pictures, pictures.labels, {"val": options.val}, context.seed)
    return Dataset(
        info=DatasetInfo(
            name=source.name,
            classes=classes,
            source=source.source,
            licence=source.licence,
            notes=tuple(notes),
        ),
        splits={**splits, "test": _pictures(source, test, "test", classes)},
    )


def _pictures(source: _Source, data: Any, split: str, classes: tuple[str, ...]) -> Pictures:
    labels = np.asarray(data.targets, dtype=np.int64)
    return Pictures(f"{source.name}/{split}", np.asarray(data.data), labels, classes)


def _load(source: _Source, root: Path, *, train: bool) -> Any:
    """Read one split, downloading it if it is not there.

    Raises:
        DataError: it is damaged, or not there and cannot be downloaded.
    """
    try:
        return source.kind(root, train=train)
    except Exception as error:  # Whatever comes of parsing files that were cut short.
        # torchvision tells missing files, and ones of another checksum, from these by words alone.
        if not (isinstance(error, RuntimeError) and "not found" in str(error)):
            raise DataError(
                f"The files of {source.name} in {root} are damaged: {_line(error)}.",
                hint=f"Replace {source.expects}, or remove them to have them downloaded.",
            ) from None
    try:
        _ensure_one_reachable(source.urls())
        with _patience():
            return source.kind(root, train=train, download=True)
    except Exception as error:  # Of the network, of the disk, or a checksum that does not fit.
        reason = error.message if isinstance(error, WeightsError) else _line(error)
        raise DataError(
            f"{source.name} is not in {root}, or not whole, and cannot be downloaded: "
            f"{reason.rstrip('.')}.",
            hint=f"Put {source.expects} there, or give the folder that has it as --data-root.",
        ) from None


def _ensure_one_reachable(urls: list[str]) -> None:
    """Raises:
    WeightsError: no place that has the files answers.
    """
    for url in urls[:-1]:
        with contextlib.suppress(WeightsError):
            return ensure_reachable(url)
    return ensure_reachable(urls[-1])


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Bound the wait of connections whose maker set no bound, as torchvision does."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _line(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__).rstrip(".")


def _mnist_like(name: str, kind: type[Any], source: str, licence: str) -> _Source:
    return _Source(
        name=name,
        kind=kind,
        expects=f"{kind.__name__}/raw/train-images-idx3-ubyte and its three companions",
        urls=lambda: [f"{mirror}{kind.resources[0][0]}" for mirror in kind.mirrors],
        source=source,
        licence=licence,
    )


def _cifar(name: str, kind: type[Any]) -> _Source:
    return _Source(
        name=name,
        kind=kind,
        expects=f"{kind.base_folder}/ or {kind.filename}",
        urls=lambda: [str(kind.url)],
        source="Krizhevsky, 2009",
        licence="unknown",
    )


_MNIST = _mnist_like("mnist", zoo.MNIST, "LeCun, Cortes and Burges, 1998", "CC BY-SA 3.0")
_FASHION = _mnist_like("fashion-mnist", zoo.FashionMNIST, "Xiao, Rasul and Vollgraf, 2017", "MIT")
_CIFAR10 = _cifar("cifar10", zoo.CIFAR10)
_CIFAR100 = _cifar("cifar100", zoo.CIFAR100)


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
