"""Published data sets where torchvision puts them, packed or not; missing ones are downloaded."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torchvision.datasets as zoo
from torchvision.datasets.utils import download_url

from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo
from mmft_core.errors import DataError, MmftError, WeightsError
from mmft_core.utils import replacing, user_path
from mmft_core.weights import ensure_reachable
from mmft_datasets.set_aside import set_aside
from mmft_vision.cifar import read_cifar
from mmft_vision.digits import Pictures
from mmft_vision.idx import read_emnist, read_idx
from mmft_vision.options import EmnistOptions, PublishedOptions
from mmft_vision.read_arrays import AbsentError, Arrays
from mmft_vision.svhn import read_svhn

PATIENCE = 60.0
"""A download fails if nothing arrives for this many seconds."""


@dataclass(frozen=True)
class _Source:
    """A data set that is read into memory and can be downloaded.

    Attributes:
        kind: torchvision's class, which knows names, addresses and checksums.
        read: reads its files below a folder.
        files: the files that are downloaded: by name the addresses, and the MD5 checksum.
        folder: where they are.
        expects: the files that it needs, for messages.
    """

    name: str
    kind: type[Any]
    read: Callable[[Path], Arrays]
    files: Callable[[], Mapping[str, tuple[list[str], str]]]
    folder: str
    expects: str
    source: str
    licence: str


def _build(source: _Source, options: PublishedOptions, context: DatasetContext) -> Dataset:
    root = user_path(options.root)
    try:
        found = _read(source, root)
    except AbsentError:
        _fetch(source, root)
        found = _read(source, root)
    splits = {
        name: Pictures(f"{source.name}/{name}", part.images, part.labels, found.classes)
        for name, part in found.parts.items()
    }
    train = splits["train"]
    divided, notes = set_aside(train, train.labels, {"val": options.val}, context.seed)
    return Dataset(
        info=DatasetInfo(
            name=source.name,
            classes=found.classes,
            source=source.source,
            licence=source.licence,
            notes=(*notes, *found.notes),
        ),
        splits={**divided, "test": splits["test"]},
    )


def _read(source: _Source, root: Path) -> Arrays:
    """Raises:
    AbsentError: it is not there.
    DataError: it is damaged.
    """
    try:
        return source.read(root)
    except AbsentError:
        raise
    except Exception as error:  # Truncated files may raise anything.
        raise DataError(
            f"The files of {source.name} in {root} are damaged: {_line(error)}.",
            hint=f"Replace {source.expects}, or remove them to have them downloaded.",
        ) from None


def _fetch(source: _Source, root: Path) -> None:
    """Download what is missing, each file completely or not at all.

    Raises:
        DataError: it cannot be downloaded.
    """
    folder = root / source.folder
    try:
        for name, (urls, md5) in source.files().items():
            if not (folder / name).is_file():
                _ensure_one_reachable(urls)
                with _patience(), replacing(folder / name) as temporary:
                    _download(urls, temporary, md5)
    except Exception as error:  # The network, the disk, or a wrong checksum.
        reason = error.message if isinstance(error, MmftError) else _line(error)
        raise DataError(
            f"{source.name} is not in {root}, or incomplete, and cannot be downloaded: "
            f"{reason.rstrip('.')}.",
            hint=f"Put {source.expects} there, or give the folder that has it as --data-root.",
        ) from None


def _download(urls: list[str], file: Path, md5: str) -> None:
    """Download a file from the first address that has it."""
    for url in urls[:-1]:
        with contextlib.suppress(RuntimeError, OSError):
            return download_url(url, file.parent, file.name, md5)
    return download_url(urls[-1], file.parent, file.name, md5)


def _ensure_one_reachable(urls: list[str]) -> None:
    """Raises:
    WeightsError: no address answers.
    """
    for url in urls[:-1]:
        with contextlib.suppress(WeightsError):
            return ensure_reachable(url)
    return ensure_reachable(urls[-1])


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Set a timeout for connections that have none, such as torchvision's."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _line(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__).rstrip(".")


def _mnist_like(name: str, kind: type[Any], source: str, licence: str) -> _Source:
    folder = f"{kind.__name__}/raw"
    return _Source(
        name=name,
        kind=kind,
        read=lambda root: read_idx(root / folder, name, tuple(kind.classes), _checksums()),
        files=lambda: {n: ([f"{m}{n}" for m in kind.mirrors], md5) for n, md5 in kind.resources},
        folder=folder,
        expects=f"{folder}/train-images-idx3-ubyte and its three companions, packed (.gz) or not",
        source=source,
        licence=licence,
    )


def _cifar(name: str, kind: type[Any]) -> _Source:
    return _Source(
        name=name,
        kind=kind,
        read=lambda root: read_cifar(root, kind),
        files=lambda: {kind.filename: ([str(kind.url)], kind.tgz_md5)},
        folder="",
        expects=f"{kind.base_folder}/ or {kind.filename}",
        source="Krizhevsky, 2009",
        licence="unknown",
    )


def _emnist(variant: str) -> _Source:
    kind, folder = zoo.EMNIST, "EMNIST/raw"
    classes = tuple(name for name in kind.classes_split_dict[variant] if name != "N/A")
    return _Source(
        name="emnist",
        kind=kind,
        read=lambda root: read_emnist(root / folder, variant, classes, kind),
        files=lambda: {"gzip.zip": ([str(kind.url)], kind.md5)},
        folder=folder,
        expects=f"{folder}/gzip.zip, or emnist-{variant}-train-images-idx3-ubyte and its three "
        "companions, packed (.gz) or not,",
        source="Cohen, Afshar, Tapson and van Schaik, 2017",
        licence="unknown",
    )


def _svhn_files() -> dict[str, list[str]]:
    """The address, the name and the checksum for each split."""
    return {split: zoo.SVHN.split_list[split] for split in ("train", "test")}


_SVHN = _Source(
    name="svhn",
    kind=zoo.SVHN,
    read=lambda root: read_svhn(root, {s: (name, m) for s, (_, name, m) in _svhn_files().items()}),
    files=lambda: {name: ([url], md5) for url, name, md5 in _svhn_files().values()},
    folder="",
    expects="train_32x32.mat and test_32x32.mat",
    source="Netzer, Wang, Coates, Bissacco, Wu and Ng, 2011",
    licence="non-commercial use only",
)
_KMNIST = _mnist_like("kmnist", zoo.KMNIST, "Clanuwat et al., 2018", "CC BY-SA 4.0")
_MNIST = _mnist_like("mnist", zoo.MNIST, "LeCun, Cortes and Burges, 1998", "CC BY-SA 3.0")
_FASHION = _mnist_like("fashion-mnist", zoo.FashionMNIST, "Xiao, Rasul and Vollgraf, 2017", "MIT")
_CIFAR10 = _cifar("cifar10", zoo.CIFAR10)
_CIFAR100 = _cifar("cifar100", zoo.CIFAR100)


def _checksums() -> Mapping[str, tuple[str, str]]:
    """The data set and the name of each packed file of data sets like MNIST, by checksum."""
    known = {"mnist": zoo.MNIST, "fashion-mnist": zoo.FashionMNIST, "kmnist": zoo.KMNIST}
    return {md5: (name, file) for name, kind in known.items() for file, md5 in kind.resources}


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


def build_kmnist(options: PublishedOptions, context: DatasetContext) -> Dataset:
    """Kuzushiji-MNIST: 60,000 training and 10,000 test characters of 28x28 pixels."""
    return _build(_KMNIST, options, context)


def build_emnist(options: EmnistOptions, context: DatasetContext) -> Dataset:
    """EMNIST: handwritten digits and letters of 28x28 pixels; in the balanced variant 112,800 for
    training and 18,800 for the test."""
    return _build(_emnist(options.variant), options, context)


def build_svhn(options: PublishedOptions, context: DatasetContext) -> Dataset:
    """SVHN: 73,257 training and 26,032 test digits from house numbers, of 32x32 pixels."""
    return _build(_SVHN, options, context)
