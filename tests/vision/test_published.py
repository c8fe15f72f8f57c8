"""The published data sets: their real formats, written small; fetching them; what is not whole."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import socket
import struct
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.datasets as zoo
from PIL import Image

from mmft_core.errors import DataError
from mmft_vision import published
from tests.conftest import make_photo_folder
from tests.servers import LocalServer, serving
from tests.vision.tools import faults, ids, open_dataset, sizes, targets

CLOSED = "http://127.0.0.1:9/"
Patch = pytest.MonkeyPatch


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


# --- MNIST --------------------------------------------------------------------------------------


def idx_files(train: int, test: int) -> dict[str, bytes]:
    """MNIST's four files, in the format that its authors describe."""
    random = np.random.default_rng(0)
    files = {}
    for name, size in (("train", train), ("t10k", test)):
        images = random.integers(0, 256, (size, 28, 28), dtype=np.uint8)
        labels = np.arange(size, dtype=np.uint8) % 10
        header = struct.pack(">IIII", 0x0803, size, 28, 28)
        files[f"{name}-images-idx3-ubyte"] = header + images.tobytes()
        files[f"{name}-labels-idx1-ubyte"] = struct.pack(">II", 0x0801, size) + labels.tobytes()
    return files


def write_idx(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, data in idx_files(train=100, test=30).items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")]
)
def test_existing_idx_files_are_read(tmp_path: Path, name: str, folder: str) -> None:
    write_idx(tmp_path / folder / "raw")
    dataset = open_dataset(name, root=tmp_path)
    assert sizes(dataset) == {"train": 90, "val": 10, "test": 30}
    assert dataset.info.classes == tuple(zoo.__dict__[folder].classes)
    assert set(Counter(targets(dataset.splits["val"])).values()) == {1}
    sample = dataset.splits["test"][3]
    assert (sample.id, sample.target) == (f"{name}/test[3]", dataset.info.classes[3])
    pixels = np.frombuffer(idx_files(100, 30)["t10k-images-idx3-ubyte"], np.uint8, offset=16)
    assert sample.inputs["image"].tobytes() == pixels.reshape(30, -1)[3].tobytes()
    again = open_dataset(name, root=tmp_path).splits["val"]
    assert ids(again) == ids(dataset.splits["val"])
    assert sizes(open_dataset(name, root=tmp_path, val=0)) == {"train": 100, "test": 30}


@pytest.mark.parametrize("kept", [0, 3, 14, 5000])
def test_an_idx_file_that_was_cut_short_is_not_taken_for_whole(tmp_path: Path, kept: int) -> None:
    folder = write_idx(tmp_path / "MNIST" / "raw")
    file = folder / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"The files of mnist in .* are damaged.* MNIST/raw/"):
        open_dataset("mnist", root=tmp_path)


# --- CIFAR --------------------------------------------------------------------------------------


def cifar_files(kind: Any) -> dict[str, bytes]:
    """CIFAR's pickled batches: rows of 3,072 bytes, red before green before blue."""
    key, classes = ("labels", 10) if kind is zoo.CIFAR10 else ("fine_labels", 100)
    random = np.random.default_rng(0)
    files = {}
    for name, _ in kind.train_list + kind.test_list:
        labels = [i % classes for i in range(200)]
        batch = {"data": random.integers(0, 256, (200, 3072), dtype=np.uint8), key: labels}
        files[name] = pickle.dumps(batch)
    names = {kind.meta["key"]: [f"class {i:03}" for i in range(classes)]}
    return files | {kind.meta["filename"]: pickle.dumps(names)}


def expect(kind: Any, files: dict[str, bytes], monkeypatch: Patch) -> None:
    """Let torchvision take these files for the real ones, whose checksums it knows."""
    for attribute in ("train_list", "test_list"):
        known = [[name, md5(files[name])] for name, _ in getattr(kind, attribute)]
        monkeypatch.setattr(kind, attribute, known)
    meta = {**kind.meta, "md5": md5(files[kind.meta["filename"]])}
    monkeypatch.setattr(kind, "meta", meta)


@pytest.mark.parametrize(("name", "kind"), [("cifar10", zoo.CIFAR10), ("cifar100", zoo.CIFAR100)])
def test_existing_cifar_files_are_read(
    tmp_path: Path, monkeypatch: Patch, name: str, kind: Any
) -> None:
    files = cifar_files(kind)
    expect(kind, files, monkeypatch)
    folder = tmp_path / kind.base_folder
    folder.mkdir()
    for file, data in files.items():
        (folder / file).write_bytes(data)
    dataset = open_dataset(name, root=tmp_path)
    whole = 200 * len(kind.train_list)
    assert sum(sizes(dataset).values()) == whole + 200 and sizes(dataset)["test"] == 200
    assert dataset.info.classes[7] == "class 007"
    sample = dataset.splits["test"][7]
    assert sample.target == "class 007" and sample.inputs["image"].mode == "RGB"
    row = pickle.loads(files[kind.test_list[0][0]])["data"][7]
    assert np.array_equal(np.asarray(sample.inputs["image"])[..., 2].ravel(), row[2048:])

    (folder / kind.train_list[0][0]).write_bytes(files[kind.train_list[0][0]][:-1])
    monkeypatch.setattr(kind, "url", CLOSED)
    with pytest.raises(DataError, match=rf"{name} is not in .*, or incomplete, and cannot be down"):
        open_dataset(name, root=tmp_path)


# --- fetching -----------------------------------------------------------------------------------


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None: ...


class HangsUp(Quiet):
    """Promises whole files, and sends half of each."""

    def copyfile(self, source: Any, outputfile: Any) -> None:
        data = source.read()
        outputfile.write(data[: len(data) // 2])


class FallsSilent(Quiet):
    """Sends the first bytes and then nothing, until the other side gives up."""

    def copyfile(self, source: Any, outputfile: Any) -> None:
        outputfile.write(source.read(10))
        outputfile.flush()
        self.connection.settimeout(None)
        self.connection.recv(1)


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: Patch) -> Iterator[Callable[..., str]]:
    """Serve files from this machine, whatever proxies are set."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = ExitStack()

    def start(files: dict[str, bytes], handler: type[Quiet] = Quiet) -> str:
        folder = tmp_path / "served"
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        server = LocalServer(partial(handler, directory=str(folder)))
        return f"{servers.enter_context(serving(server)).url}/"

    with servers:
        yield start


def offer_mnist(monkeypatch: Patch, serve: Callable[..., str], handler: type[Quiet]) -> None:
    files = {f"{name}.gz": gzip.compress(data) for name, data in idx_files(100, 30).items()}
    monkeypatch.setattr(zoo.MNIST, "mirrors", [CLOSED, serve(files, handler)])
    known = [(name, md5(files[name])) for name, _ in zoo.MNIST.resources]
    monkeypatch.setattr(zoo.MNIST, "resources", known)


def test_what_is_missing_is_fetched_once(
    tmp_path: Path, monkeypatch: Patch, serve: Callable[..., str]
) -> None:
    offer_mnist(monkeypatch, serve, Quiet)
    root = tmp_path / "made" / "here"
    assert sizes(open_dataset("mnist", root=root)) == {"train": 90, "val": 10, "test": 30}
    monkeypatch.setattr(zoo.MNIST, "mirrors", [CLOSED])
    assert sizes(open_dataset("mnist", root=root))["test"] == 30


def test_a_download_that_breaks_off_is_said_and_begun_again(
    tmp_path: Path, monkeypatch: Patch, serve: Callable[..., str]
) -> None:
    with monkeypatch.context() as broken:
        offer_mnist(broken, serve, HangsUp)
        for _ in range(2):  # Half a file is not taken for whole the second time.
            with pytest.raises(DataError, match=r"mnist is not in .* and cannot be downloaded: "):
                open_dataset("mnist", root=tmp_path)
    (tmp_path / "served").rename(tmp_path / "old")
    offer_mnist(monkeypatch, serve, Quiet)
    assert sizes(open_dataset("mnist", root=tmp_path))["test"] == 30


def test_a_download_that_falls_silent_ends(
    tmp_path: Path, monkeypatch: Patch, serve: Callable[..., str]
) -> None:
    offer_mnist(monkeypatch, serve, FallsSilent)
    monkeypatch.setattr(published, "PATIENCE", 0.3)
    with pytest.raises(DataError, match=r"cannot be downloaded: .*timed out"):
        open_dataset("mnist", root=tmp_path)
    assert socket.getdefaulttimeout() is None


def test_an_archive_is_fetched_and_unpacked(
    tmp_path: Path, monkeypatch: Patch, serve: Callable[..., str]
) -> None:
    files = cifar_files(zoo.CIFAR10)
    expect(zoo.CIFAR10, files, monkeypatch)
    archive = tar({f"{zoo.CIFAR10.base_folder}/{n}": data for n, data in files.items()}, "w:gz")
    url = serve({zoo.CIFAR10.filename: archive})
    monkeypatch.setattr(zoo.CIFAR10, "url", url + zoo.CIFAR10.filename)
    monkeypatch.setattr(zoo.CIFAR10, "tgz_md5", md5(archive))
    assert sizes(open_dataset("cifar10", root=tmp_path / "data"))["test"] == 200


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("mnist", "MNIST/raw/train-images-idx3-ubyte and its three companions"),
        ("fashion-mnist", "FashionMNIST/raw/train-images-idx3-ubyte"),
        ("cifar10", "cifar-10-batches-py/ or cifar-10-python.tar.gz"),
        ("cifar100", "cifar-100-python/ or cifar-100-python.tar.gz"),
    ],
)
def test_no_files_and_no_network_end_in_a_sentence(
    tmp_path: Path, name: str, files: str, monkeypatch: Patch
) -> None:
    for kind in (zoo.MNIST, zoo.FashionMNIST):
        monkeypatch.setattr(kind, "mirrors", [CLOSED])
    for kind in (zoo.CIFAR10, zoo.CIFAR100):
        monkeypatch.setattr(kind, "url", CLOSED)
    with pytest.raises(DataError, match=rf"{name} is not in .* downloaded: {CLOSED}") as caught:
        open_dataset(name, root=tmp_path / "none")
    assert files in str(caught.value) and "--data-root" in str(caught.value)
    assert not (tmp_path / "none").exists()


# --- ImageNet -----------------------------------------------------------------------------------

WNIDS = {
    "n02012849": ("crane",),
    "n03126707": ("crane",),
    "n01440764": ("tench", "Tinca tinca"),
}


def tar(files: dict[str, bytes], mode: Any = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture
def imagenet(tmp_path: Path, photographs: dict[str, Image.Image]) -> Path:
    """A small ImageNet as torchvision leaves it, once extracted."""
    named = dict(zip(WNIDS, [photographs["china"], *2 * [photographs["flower"]]], strict=True))
    make_photo_folder(tmp_path / "train", named, per_class=10)
    make_photo_folder(tmp_path / "val", named, per_class=2, seed=1)
    torch.save((WNIDS, []), tmp_path / "meta.bin")
    return tmp_path


def test_an_extracted_imagenet_is_read(imagenet: Path) -> None:
    dataset = open_dataset("imagenet", root=imagenet)
    assert sizes(dataset) == {"train": 27, "val": 3, "test": 6}
    # In the order of the ids, as published weights have it, and no two classes of one name.
    assert dataset.info.classes == ("tench, Tinca tinca", "crane (n02012849)", "crane (n03126707)")
    assert faults(dataset) == {}
    test = dataset.splits["test"]
    assert test.sample_id(0) == str(imagenet / "val" / "n01440764" / "000.jpg")
    assert test.target(0) == "tench, Tinca tinca"
    assert "train/ holds 30 pictures instead of 1,281,167" in dataset.info.notes


def test_imagenet_is_extracted_from_its_archives(imagenet: Path, monkeypatch: Patch) -> None:
    validation = sorted((imagenet / "val").glob("*/*"))
    torch.save((WNIDS, [path.parent.name for path in validation]), imagenet / "meta.bin")
    archives = {
        "train": tar(
            {
                f"{folder.name}.tar": tar({f.name: f.read_bytes() for f in folder.iterdir()})
                for folder in (imagenet / "train").iterdir()
            }
        ),
        "val": tar({f"{i:04}.jpg": path.read_bytes() for i, path in enumerate(validation)}),
    }
    known = dict(zoo.imagenet.ARCHIVE_META)
    for split, data in archives.items():
        known[split] = (known[split][0], md5(data))
        (imagenet / known[split][0]).write_bytes(data)
        (imagenet / split).rename(imagenet / f"old-{split}")
    monkeypatch.setattr(zoo.imagenet, "ARCHIVE_META", known)
    dataset = open_dataset("imagenet", root=imagenet)
    assert sizes(dataset) == {"train": 27, "val": 3, "test": 6}
    assert faults(dataset) == {}


def test_an_extraction_that_broke_off_is_not_taken_for_whole(imagenet: Path) -> None:
    (imagenet / "train" / "n09999999.tar").touch()
    with pytest.raises(DataError, match=r"train was cut short: n09999999\.tar is still in it"):
        open_dataset("imagenet", root=imagenet)


def test_loose_validation_pictures_are_not_passed_over(imagenet: Path) -> None:
    picture = imagenet / "val" / "n01440764" / "000.jpg"
    picture.rename(imagenet / "val" / "ILSVRC2012_val_00000001.JPEG")
    with pytest.raises(DataError, match=r"1 pictures .* outside the class folders"):
        open_dataset("imagenet", root=imagenet)


def test_imagenet_says_which_files_it_wants(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ImageNet is not in .* Its licence forbids") as caught:
        open_dataset("imagenet", root=tmp_path)
    for archive in ("img_train.tar", "img_val.tar", "devkit_t12.tar.gz"):
        assert f"ILSVRC2012_{archive}" in str(caught.value)


def test_damaged_imagenet_files_end_in_a_sentence(imagenet: Path) -> None:
    (imagenet / "meta.bin").write_bytes(b"half")
    with pytest.raises(DataError, match=r"ImageNet is not in .*, or incomplete"):
        open_dataset("imagenet", root=imagenet)


# --- EMNIST, KMNIST and SVHN --------------------------------------------------------------------


def test_kmnist_is_read_as_mnist_is(tmp_path: Path) -> None:
    write_idx(tmp_path / "KMNIST" / "raw")
    dataset = open_dataset("kmnist", root=tmp_path)
    assert sizes(dataset) == {"train": 90, "val": 10, "test": 30}
    assert dataset.info.classes[:3] == ("o", "ki", "su")


def emnist_files(variant: str, first: int, classes: int) -> dict[str, bytes]:
    """The four files of one of EMNIST's data sets."""
    random = np.random.default_rng(1)
    files = {}
    for split, size in (("train", 8 * classes), ("test", classes)):
        images = random.integers(0, 256, (size, 28, 28), dtype=np.uint8)
        labels = (np.arange(size) % classes + first).astype(np.uint8)
        start = f"emnist-{variant}-{split}"
        header = struct.pack(">IIII", 0x0803, size, 28, 28)
        files[f"{start}-images-idx3-ubyte"] = header + images.tobytes()
        files[f"{start}-labels-idx1-ubyte"] = struct.pack(">II", 0x0801, size) + labels.tobytes()
    return files


def write_emnist(root: Path, files: dict[str, bytes], form: str) -> None:
    raw = root / "EMNIST" / "raw"
    raw.mkdir(parents=True)
    if form == "zip":
        with zipfile.ZipFile(raw / "gzip.zip", "w") as archive:
            for name, data in files.items():
                archive.writestr(f"gzip/{name}.gz", gzip.compress(data))
        return
    for name, data in files.items():
        packed = gzip.compress(data) if form == "gz" else data
        (raw / (f"{name}.gz" if form == "gz" else name)).write_bytes(packed)


@pytest.mark.parametrize("form", ["plain", "gz", "zip"])
@pytest.mark.parametrize(("variant", "first", "classes"), [("letters", 1, 26), ("balanced", 0, 47)])
def test_emnist_comes_upright(
    tmp_path: Path, form: str, variant: str, first: int, classes: int
) -> None:
    files = emnist_files(variant, first, classes)
    write_emnist(tmp_path, files, form)
    options = {} if variant == "balanced" else {"variant": variant}
    dataset = open_dataset("emnist", root=tmp_path, **options)
    assert sizes(dataset)["test"] == classes == len(dataset.info.classes)
    assert dataset.info.classes[-1] == {"letters": "z", "balanced": "t"}[variant]
    sample = dataset.splits["test"][3]
    assert sample.target == dataset.info.classes[3]
    raw = np.frombuffer(files[f"emnist-{variant}-test-images-idx3-ubyte"], np.uint8, offset=16)
    lying = raw.reshape(-1, 28, 28)[3]
    assert np.array_equal(np.asarray(sample.inputs["image"]), lying.T)
    assert any("checksum" in note for note in dataset.info.notes) == (form == "zip")


def test_emnist_that_is_damaged_or_lacks_a_file_ends_in_a_sentence(tmp_path: Path) -> None:
    files = emnist_files("digits", 0, 10)
    write_emnist(tmp_path, files, "zip")
    archive = tmp_path / "EMNIST" / "raw" / "gzip.zip"
    with pytest.raises(DataError, match=r"damaged: gzip.zip lacks gzip/emnist-mnist-train-ima"):
        open_dataset("emnist", root=tmp_path, variant="mnist")
    content = bytearray(archive.read_bytes())
    content[200] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(DataError, match="The files of emnist in .* are damaged"):
        open_dataset("emnist", root=tmp_path, variant="digits")
    archive.write_bytes(b"<html>404</html>")
    with pytest.raises(DataError, match=r"are damaged: .* Replace EMNIST/raw/gzip.zip"):
        open_dataset("emnist", root=tmp_path, variant="digits")


def write_svhn(root: Path, *, compressed: bool = True, **changes: Any) -> dict[str, Any]:
    """Write small copies of SVHN's files: X (32, 32, 3, n), and y (n, 1) from 1 to 10."""
    savemat = pytest.importorskip("scipy.io").savemat
    random = np.random.default_rng(2)
    written = {}
    for name, size in (("train", 60), ("test", 20)):
        held: dict[str, Any] = {
            "X": random.integers(0, 256, (32, 32, 3, size), dtype=np.uint8),
            "y": (np.arange(size) % 10 + 1).astype(np.uint8)[:, None],
        }
        held |= changes
        savemat(root / f"{name}_32x32.mat", held, do_compression=compressed)
        written[name] = held
    return written


@pytest.mark.parametrize("compressed", [True, False])
def test_existing_svhn_files_are_read(tmp_path: Path, compressed: bool, monkeypatch: Patch) -> None:
    written = write_svhn(tmp_path, compressed=compressed)
    dataset = open_dataset("svhn", root=tmp_path)
    assert sizes(dataset) == {"train": 50, "val": 10, "test": 20}
    assert dataset.info.classes == tuple("0123456789")
    assert targets(dataset.splits["test"])[:11] == [*"1234567890", "1"]
    sample = dataset.splits["test"][9]
    assert np.array_equal(np.asarray(sample.inputs["image"]), written["test"]["X"][..., 9])
    assert sum("not the published one" in note for note in dataset.info.notes) == 2
    known = {
        s: [CLOSED, f"{s}_32x32.mat", md5((tmp_path / f"{s}_32x32.mat").read_bytes())]
        for s in ("train", "test")
    }
    monkeypatch.setattr(zoo.SVHN, "split_list", known)
    assert not any("checksum" in n for n in open_dataset("svhn", root=tmp_path).info.notes)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-30])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)


def no_mat(file: Path) -> None:
    file.write_bytes(pickle.dumps({"X": 1}))


def of_version_7(file: Path) -> None:
    file.write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n")


@pytest.mark.parametrize("spoil", [cut, flip, no_mat, of_version_7])
def test_damaged_svhn_files_end_in_a_sentence(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    write_svhn(tmp_path)
    spoil(tmp_path / "test_32x32.mat")
    with pytest.raises(DataError, match="The files of svhn in .* are damaged: .*train_32x32.mat"):
        open_dataset("svhn", root=tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"y": np.array([[0]] * 60, np.uint8)},
        {"y": np.array([[11]] * 60, np.uint8)},
        {"y": np.array([[1]] * 59, np.uint8)},
        {"X": np.zeros((32, 32, 3, 60), np.float64)},
        {"X": np.array([["a", "b"]], dtype=object)},
        {"X": {"a": 1}},
        {"X": "open('x', 'w')"},
    ],
)
def test_svhn_files_of_another_content_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    write_svhn(tmp_path, **changes)
    with pytest.raises(DataError, match="train_32x32.mat holds"):
        open_dataset("svhn", root=tmp_path)


def test_svhn_that_lacks_a_file_is_downloaded(
    tmp_path: Path, monkeypatch: Patch, serve: Callable[[dict[str, bytes]], str]
) -> None:
    write_svhn(tmp_path)
    names = [f"{split}_32x32.mat" for split in ("train", "test")]
    contents = {name: (tmp_path / name).read_bytes() for name in names}
    url = serve(contents)
    known = {n[: n.index("_")]: [url + n, n, md5(data)] for n, data in contents.items()}
    monkeypatch.setattr(zoo.SVHN, "split_list", known)
    assert sizes(open_dataset("svhn", root=tmp_path / "new"))["test"] == 20
    monkeypatch.setattr(
        zoo.SVHN, "split_list", {s: [CLOSED, name, m] for s, (_, name, m) in known.items()}
    )
    with pytest.raises(DataError, match=r"svhn is not in .*Put train_32x32.mat and test_32x32.mat"):
        open_dataset("svhn", root=tmp_path / "none")
