"""Published data sets as they are downloaded: packed, where their libraries put them."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import shutil
import struct
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision.datasets as zoo

from mmft_audio import published as sounds
from mmft_core.errors import DataError, StorageError
from mmft_datasets import unpacking
from mmft_datasets.unpacking import unpacked
from tests.media.tools import build, recording
from tests.vision.test_published import cifar_files, expect, idx_files, tar
from tests.vision.tools import faults, sizes

Patch = pytest.MonkeyPatch
CLOSED = "http://127.0.0.1:9/"


@pytest.fixture(autouse=True)
def offline(monkeypatch: Patch) -> None:
    for kind in (zoo.MNIST, zoo.FashionMNIST):
        monkeypatch.setattr(kind, "mirrors", [CLOSED])
    for kind in (zoo.CIFAR10, zoo.CIFAR100):
        monkeypatch.setattr(kind, "url", CLOSED)
    for constant in ("_LIBRISPEECH", "_COMMANDS"):
        monkeypatch.setattr(sounds, constant, CLOSED)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


# --- MNIST --------------------------------------------------------------------------------------


def write_packed(folder: Path, pattern: str = "{}.gz") -> Path:
    folder.mkdir(parents=True)
    for name, data in idx_files(train=100, test=30).items():
        (folder / pattern.format(name)).write_bytes(gzip.compress(data))
    return folder


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")]
)
def test_the_four_packed_files_are_read(tmp_path: Path, name: str, folder: str) -> None:
    raw = write_packed(tmp_path / folder / "raw")
    dataset = build(name, tmp_path)
    assert sizes(dataset) == {"train": 90, "val": 10, "test": 30}
    pixels = np.frombuffer(idx_files(100, 30)["t10k-images-idx3-ubyte"], np.uint8, offset=16)
    image = dataset.splits["test"][4].inputs["image"]
    assert image.tobytes() == pixels.reshape(30, -1)[4].tobytes()
    assert len(list(raw.iterdir())) == 4  # Nothing is unpacked to the disk.
    assert any("its checksum is not the published one" in note for note in dataset.info.notes)


def test_files_as_they_are_published_need_no_note(tmp_path: Path, monkeypatch: Patch) -> None:
    raw = write_packed(tmp_path / "MNIST" / "raw")
    known = [(n, hashlib.md5((raw / n).read_bytes()).hexdigest()) for n, _ in zoo.MNIST.resources]
    monkeypatch.setattr(zoo.MNIST, "resources", known)
    assert not any("checksum" in note for note in build("mnist", tmp_path).info.notes)
    # The same files in the place of another data set, whose files have the same names.
    (tmp_path / "FashionMNIST").mkdir()
    raw.rename(tmp_path / "FashionMNIST" / "raw")
    with pytest.raises(DataError, match=r"images-idx3-ubyte.gz is train-images.* of mnist"):
        build("fashion-mnist", tmp_path)


def test_some_packed_and_some_not_and_with_a_dot(tmp_path: Path) -> None:
    raw = write_packed(tmp_path / "MNIST" / "raw")
    for name in ("train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (raw / name).write_bytes(gzip.decompress((raw / f"{name}.gz").read_bytes()))
        (raw / f"{name}.gz").unlink()
    (raw / "train-labels-idx1-ubyte.gz").rename(raw / "train-labels.idx1-ubyte.gz")
    assert sizes(build("mnist", tmp_path))["test"] == 30


def shortened(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def flipped(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)


def of_other_size(file: Path) -> None:
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes())[:-1]))


def no_idx(file: Path) -> None:
    file.write_bytes(gzip.compress(b"<html>404</html>"))


def no_gzip(file: Path) -> None:
    file.write_bytes(b"<html>404</html>")


def another_count(file: Path) -> None:
    shutil.copy(file.with_name("train-images-idx3-ubyte.gz"), file)


@pytest.mark.parametrize(
    "spoil", [shortened, flipped, of_other_size, no_idx, no_gzip, another_count]
)
def test_damaged_packed_files_end_in_a_sentence(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    raw = write_packed(tmp_path / "MNIST" / "raw")
    spoil(raw / "t10k-images-idx3-ubyte.gz")
    with pytest.raises(DataError, match=r"The files of mnist in \S+ are damaged: ") as caught:
        build("mnist", tmp_path)
    assert "MNIST/raw/" in str(caught.value)


def test_a_missing_file_is_not_passed_over(tmp_path: Path) -> None:
    raw = write_packed(tmp_path / "MNIST" / "raw")
    (raw / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"mnist is not in .*, or incomplete, and cannot be down"):
        build("mnist", tmp_path)


# --- CIFAR --------------------------------------------------------------------------------------


def write_archive(root: Path, kind: Any, files: dict[str, bytes]) -> Path:
    archive = root / kind.filename
    archive.write_bytes(tar({f"{kind.base_folder}/{n}": d for n, d in files.items()}, "w:gz"))
    return archive


@pytest.mark.parametrize(("name", "kind"), [("cifar10", zoo.CIFAR10), ("cifar100", zoo.CIFAR100)])
def test_an_archive_is_read_without_unpacking_it(
    tmp_path: Path, name: str, kind: Any, monkeypatch: Patch
) -> None:
    files = cifar_files(kind)
    write_archive(tmp_path, kind, files)
    dataset = build(name, tmp_path)
    assert sizes(dataset)["test"] == 200 and dataset.info.classes[7] == "class 007"
    row = pickle.loads(files[kind.test_list[0][0]])["data"][7]
    pixels = np.asarray(dataset.splits["test"][7].inputs["image"])
    assert np.array_equal(pixels[..., 1].ravel(), row[1024:2048])
    assert any("its checksums are not the published ones" in note for note in dataset.info.notes)
    assert names(tmp_path) == [kind.filename]
    expect(kind, files, monkeypatch)
    assert not any("checksum" in note for note in build(name, tmp_path).info.notes)


def python2(batch: dict[str, Any]) -> bytes:
    """A batch as its authors pickled it, by Python 2: arrays and texts are strings of bytes."""

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    def string(value: bytes) -> bytes:
        return b"T" + struct.pack("<i", len(value)) + value

    array = batch["data"]
    kind = b"cnumpy\ndtype\n" + string(b"u1") + b"K\x00K\x01\x87R"
    kind += b"(K\x03" + string(b"|") + b"NNN" + number(-1) * 2 + b"K\x00tb"
    data = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + string(b"b")
    data += b"\x87R(K\x01" + b"".join(map(number, array.shape)) + b"\x86" + kind + b"\x89"
    data += string(array.tobytes()) + b"tb"
    labels = b"](" + b"".join(map(number, batch["labels"])) + b"e"
    return b"\x80\x02}(" + string(b"data") + data + string(b"labels") + labels + b"u."


def test_batches_are_read_as_their_authors_wrote_them(tmp_path: Path) -> None:
    files = cifar_files(zoo.CIFAR10)
    whole = {n: pickle.loads(data) for n, data in files.items() if "batch_" in n}
    older = {n: python2(batch) for n, batch in whole.items()}
    loaded = pickle.loads(older["data_batch_1"], encoding="latin1")
    assert np.array_equal(loaded["data"], whole["data_batch_1"]["data"])
    write_archive(tmp_path, zoo.CIFAR10, files | older)
    train = build("cifar10", tmp_path, val=0.0).splits["train"]
    assert train.target(205) == "class 005"
    pixels = np.asarray(train[205].inputs["image"])
    assert np.array_equal(pixels[..., 0].ravel(), whole["data_batch_2"]["data"][5][:1024])


class _Evil:
    """What a pickle can be made of: it calls a function when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.mark),))


@pytest.mark.parametrize("where", ["a batch", "the labels", "the names"])
def test_nothing_in_a_batch_is_executed(tmp_path: Path, where: str) -> None:
    files, mark = cifar_files(zoo.CIFAR10), tmp_path / "executed"
    if where == "a batch":
        files["data_batch_2"] = pickle.dumps(_Evil(mark))
    elif where == "the labels":
        batch = pickle.loads(files["test_batch"])
        files["test_batch"] = pickle.dumps(batch | {"labels": _Evil(mark)})
    else:
        files["batches.meta"] = pickle.dumps({"label_names": ["a", _Evil(mark)]})
    write_archive(tmp_path, zoo.CIFAR10, files)
    with pytest.raises(DataError, match=r"cifar10 .* damaged: .*mkdir, which no batch needs"):
        build("cifar10", tmp_path)
    assert not mark.exists()


@pytest.mark.parametrize("spoil", [shortened, flipped, no_gzip])
def test_a_damaged_archive_ends_in_a_sentence(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(write_archive(tmp_path, zoo.CIFAR10, cifar_files(zoo.CIFAR10)))
    with pytest.raises(DataError, match=r"The files of cifar10 in \S+ are damaged: "):
        build("cifar10", tmp_path)


def test_an_archive_that_lacks_a_batch(tmp_path: Path) -> None:
    files = cifar_files(zoo.CIFAR10)
    del files["data_batch_4"]
    write_archive(tmp_path, zoo.CIFAR10, files)
    with pytest.raises(DataError, match=r"lacks cifar-10-batches-py/data_batch_4"):
        build("cifar10", tmp_path)


# --- speech -------------------------------------------------------------------------------------


def librispeech(root: Path, beside: str = ".") -> None:
    for subset in ("train-clean-100", "dev-clean", "test-clean"):
        home = f"LibriSpeech/{subset}/84/121123"
        files = {
            "LibriSpeech/README.TXT": b"read me",
            f"{home}/84-121123-0000.flac": recording(1, "FLAC"),
            f"{home}/84-121123.trans.txt": f"84-121123-0000 GO {subset.upper()}\n".encode(),
        }
        (root / beside).mkdir(exist_ok=True)
        (root / beside / f"{subset}.tar.gz").write_bytes(tar(files, "w:gz"))


@pytest.mark.parametrize("beside", [".", "LibriSpeech"])
def test_librispeech_is_unpacked_once(tmp_path: Path, beside: str) -> None:
    librispeech(tmp_path, beside)
    dataset = build("librispeech", tmp_path, "text")
    assert sizes(dataset) == {"train": 1, "val": 1, "test": 1} and faults(dataset) == {}
    assert dataset.splits["val"].target(0) == "go dev-clean"
    home = tmp_path / "LibriSpeech" / "dev-clean"
    assert dataset.splits["val"].sample_id(0).startswith(str(home))
    assert not list(tmp_path.rglob(".*"))
    for archive in tmp_path.rglob("*.tar.gz"):
        archive.write_bytes(b"it is read no more")
    assert sizes(build("librispeech", tmp_path, "text"))["train"] == 1


def test_speech_commands_is_unpacked(tmp_path: Path) -> None:
    files = {f"./{w}/{k}_nohash_0.wav": recording(k) for w in ("yes", "no") for k in range(4)}
    files |= {"./validation_list.txt": b"yes/0_nohash_0.wav\n", "./LICENSE": b"free"}
    files |= {"./testing_list.txt": b"yes/1_nohash_0.wav\nno/1_nohash_0.wav\n"}
    (tmp_path / "speech_commands_v0.02.tar.gz").write_bytes(tar(files, "w:gz"))
    dataset = build("speech-commands", tmp_path)
    assert sizes(dataset) == {"train": 5, "val": 1, "test": 2} and faults(dataset) == {}


def common_voice(prefix: str) -> dict[str, bytes]:
    table = "client_id\tpath\tsentence\n" + "x\ta.mp3\tSaid.\n" * 3
    return {
        f"{prefix}/train.tsv": table.encode(),
        f"{prefix}/test.tsv": table.encode(),
        f"{prefix}/clips/a.mp3": recording(0, "MP3"),
    }


@pytest.mark.parametrize("given", ["archive", "folder"])
def test_common_voice_is_unpacked(tmp_path: Path, given: str) -> None:
    archive = tmp_path / "cv-corpus-17.0-cy.tar.gz"
    archive.write_bytes(tar(common_voice("cv-corpus-17.0/cy"), "w:gz"))
    dataset = build("common-voice", archive if given == "archive" else tmp_path, "text")
    assert sizes(dataset) == {"train": 3, "test": 3} and faults(dataset) == {}
    folder = tmp_path / "cv-corpus-17.0-cy"
    assert sizes(build("common-voice", folder, "text"))["train"] == 3
    shutil.copytree(folder / "cv-corpus-17.0" / "cy", folder / "cv-corpus-17.0" / "de")
    with pytest.raises(DataError, match=r"holds several languages: cy, de\. Give one of them"):
        build("common-voice", folder, "text")


# --- archives -----------------------------------------------------------------------------------


def made(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


UNSAFE = {
    "upwards": [member("../out.txt")],
    "upwards within": [member("a/../../out.txt")],
    "a link out": [member("a", tarfile.SYMTYPE, "/etc")],
    "a link within": [member("b"), member("a", tarfile.SYMTYPE, "b")],
    "a hard link": [member("b"), member("a", tarfile.LNKTYPE, "b")],
    "a pipe": [member("a", tarfile.FIFOTYPE)],
    "a device": [member("a", tarfile.CHRTYPE)],
}


@pytest.mark.parametrize("what", UNSAFE)
def test_unsafe_archives_are_not_unpacked(tmp_path: Path, what: str) -> None:
    home = tmp_path / "in"
    home.mkdir()
    archive = made(home / "x.tar.gz", *((m, b"") for m in UNSAFE[what]))
    with pytest.raises(DataError, match=r"The archive \S+x\.tar\.gz is not unpacked: "):
        unpacked(archive, home / "x")
    assert names(tmp_path) == ["in"] and names(home) == ["x.tar.gz"]


def test_absolute_names_stay_within(tmp_path: Path) -> None:
    archive = made(tmp_path / "x.tar.gz", (member("/a/b.txt"), b"b"))
    assert (unpacked(archive, tmp_path / "x") / "a" / "b.txt").read_text() == "b"


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("kept", ["nothing", "a header", "half", "whole files"])
def test_a_damaged_archive_leaves_nothing(tmp_path: Path, kept: str, mode: str) -> None:
    block = 512 + 2048  # A file of 2,000 bytes, with its header.
    content = tar({f"{k}.bin": os.urandom(2000) for k in range(4)})
    content = content[: {"nothing": 0, "a header": 30, "half": block + 700}.get(kept, 2 * block)]
    if mode == "w:gz":
        content = gzip.compress(content)
        content = content if kept == "whole files" else content[:-12]
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(DataError, match=r"The archive \S+x\.tar is damaged or cut short: "):
        unpacked(tmp_path / "x.tar", tmp_path / "x")
    assert names(tmp_path) == ["x.tar"]


def test_too_little_room_is_told(tmp_path: Path, monkeypatch: Patch) -> None:
    archive = made(tmp_path / "x.tar.gz", (member("a"), b"a" * 1000))
    free = unpacking._SPARE + 500
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(0, 0, free))
    with pytest.raises(StorageError, match=r"too little room to unpack \S+x\.tar\.gz: 0\.3 GB"):
        unpacked(archive, tmp_path / "x")
    assert names(tmp_path) == ["x.tar.gz"]


def test_where_nothing_may_be_written_the_cache_takes_it(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    home, cache = tmp_path / "home", tmp_path / "cache"
    home.mkdir()
    archive = made(home / "x.tar.gz", (member("in/a.txt"), b"a"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    make = tempfile.mkdtemp

    def guarded(*, dir: Path, prefix: str) -> str:
        if Path(dir).is_relative_to(home):
            raise OSError(30, "Read-only file system", str(dir))
        return make(dir=dir, prefix=prefix)

    monkeypatch.setattr(tempfile, "mkdtemp", guarded)
    first = unpacked(archive, home / "x", "in")
    assert first.is_relative_to(cache) and (first / "a.txt").read_text() == "a"
    monkeypatch.setattr(unpacking, "_extract", lambda *_: pytest.fail("it is unpacked again"))
    assert unpacked(archive, home / "x", "in") == first


def test_a_folder_that_the_archive_lacks(tmp_path: Path) -> None:
    archive = made(tmp_path / "x.tar.gz", (member("a/b"), b"b"))
    with pytest.raises(DataError, match=r"x\.tar\.gz holds no folder c"):
        unpacked(archive, tmp_path / "x", "c")
