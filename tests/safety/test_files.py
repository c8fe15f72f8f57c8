"""Files of strangers beside models: checkpoints, indexes, graphs, sweeps and data.

None is executed, none makes mmft read or write what lies elsewhere, and none fills memory or disk.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import pickle
import shutil
import signal
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmft_core import discover
from mmft_core.cli import main
from mmft_core.config.resolving import make_plan
from mmft_core.config.trees import read_toml
from mmft_core.contracts.callbacks import TrainStep
from mmft_core.data import parquet_size
from mmft_core.run import runner
from mmft_core.utils import expansion
from tests.conftest import Finished
from tests.engine.toy import Recorder
from tests.faults.garbage import bombs
from tests.safety.canary import NAME
from tests.safety.test_strangers import CLASSES, Edit, pickled, put, with_code

Mmft = Callable[..., Finished]

SMALL = 2**20
"""What files may become in these tests, for bombs that are made in milliseconds."""


def refused(ended: Finished, *words: str) -> None:
    told = " ".join(ended.err.split())
    assert ended.code == 2 and "Traceback" not in told, told
    assert told.count("error: ") == 1 and all(word in told for word in words), told


# --- runs that go on ----------------------------------------------------------------------------


class Stop(Recorder):
    """Presses Ctrl-C after the first step."""

    def on_step(self, event: TrainStep) -> None:
        if event.step == 1:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def stopped(text_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = read_toml(text_run / "config.toml")
    tree["engine"]["steps"] = 3
    run = tmp_path_factory.mktemp("stopped") / "run"
    assert runner.train(make_plan(tree, discover()), run, [Stop()]).results is None
    return run


STATE = "checkpoints/step-1/state.json"
RESUMED: dict[str, tuple[Edit, tuple[str, ...]]] = {
    "tensors": (pickled("checkpoints/step-1/tensors.safetensors"), ("no usable checkpoint",)),
    "state": (pickled(STATE), ("no usable checkpoint",)),
    "state by name": (put(STATE, state=["dict", [["model", NAME]]]), ("no usable checkpoint",)),
    "samples": (pickled("samples.parquet"), ("samples.parquet cannot be read",)),
    "weights": (
        put("data.json", weights={"text": {"source": "random", "build": NAME}}),
        ("data.json",),
    ),
    "classes of the network": (with_code(Path("assets/text/config.json"), auto_map=CLASSES), ()),
}


@pytest.mark.parametrize("name", RESUMED)
def test_a_run_is_resumed_without_executing_anything(
    stopped: Path, tmp_path: Path, mark: Path, mmft: Mmft, name: str
) -> None:
    run, (edit, words) = shutil.copytree(stopped, tmp_path / "run"), RESUMED[name]
    assert (run / "checkpoints" / "step-1").is_dir()
    edit(run, mark)
    ended = mmft("run", "--resume", run)
    assert not mark.exists()
    if words:
        refused(ended, *words)
    else:
        assert ended.code == 0, ended.err


def test_a_study_of_a_sweep_is_not_unpickled(tmp_path: Path, mark: Path, mmft: Mmft) -> None:
    pytest.importorskip("optuna")
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    (sweep / "sweep.toml").write_text(
        'trials = 1\n[vary]\n"engine.lr" = "1e-5..1e-2:log"\n'
        '[base]\ntask = "image-cls"\nbackbone = "resnet18"\n'
    )
    for bomb in bombs(mark):
        (sweep / "study.db").write_bytes(bomb)
        refused(mmft("sweep", "--resume", sweep), "study.db")
        assert not mark.exists()


# --- indexes ------------------------------------------------------------------------------------


def test_an_index_of_faiss_names_no_other_file(
    index: Path, retrieval_run: Path, home: Path, tmp_path: Path, mmft: Mmft
) -> None:
    faiss = pytest.importorskip("faiss")
    copy, victim = shutil.copytree(index, tmp_path / "index"), tmp_path / "victim"
    file, facts = copy / "nearest" / "index.faiss", copy / "nearest" / "facts.json"
    flat = faiss.read_index(str(file))
    cells = faiss.IndexIVFFlat(faiss.IndexFlatIP(flat.d), flat.d, 1, faiss.METRIC_INNER_PRODUCT)
    cells.train(np.eye(flat.d, dtype=np.float32))
    elsewhere = faiss.OnDiskInvertedLists(1, cells.code_size, str(victim))
    cells.replace_invlists(elsewhere)
    cells.add(flat.reconstruct_n())
    faiss.write_index(cells, str(file))
    told = json.loads(facts.read_text())
    told |= {"kind": "ivf", "bytes": file.stat().st_size, "digest": "", "trained_on": 10}
    facts.write_text(json.dumps(told))
    before = victim.read_bytes()
    refused(
        mmft("search", retrieval_run, "--index", copy, "a fine day"),
        "its vectors lie in another file",
    )
    more = shutil.copytree(home / "notes", tmp_path / "notes")
    (more / "new.txt").write_text("a new day")
    assert mmft("index", retrieval_run, more, "-o", copy).code == 0  # Made anew.
    assert victim.read_bytes() == before


def test_an_index_of_faiss_is_of_a_known_kind(
    index: Path, retrieval_run: Path, tmp_path: Path, mmft: Mmft
) -> None:
    faiss = pytest.importorskip("faiss")
    copy = shutil.copytree(index, tmp_path / "index")
    file, facts = copy / "nearest" / "index.faiss", copy / "nearest" / "facts.json"
    flat = faiss.read_index(str(file))
    other = faiss.IndexPreTransform(faiss.NormalizationTransform(flat.d), flat)
    faiss.write_index(other, str(file))
    told = json.loads(facts.read_text()) | {"bytes": file.stat().st_size, "digest": ""}
    facts.write_text(json.dumps(told))
    refused(
        mmft("search", retrieval_run, "--index", copy, "a fine day"),
        "of a kind that mmft does not write",
    )


@pytest.fixture(scope="module")
def qdrant(retrieval_run: Path, home: Path) -> Path:
    pytest.importorskip("qdrant_client")
    folder = home / "qdrant"
    main(["index", str(retrieval_run), str(home / "notes"), "-o", str(folder), "--store", "qdrant"])
    return folder


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("trick", ["a point", "a view", "a view that changes", "another name"])
def test_an_index_of_qdrant_holds_points_only(
    qdrant: Path,
    retrieval_run: Path,
    tmp_path: Path,
    mark: Path,
    mmft: Mmft,
    trick: str,
    number: int,
) -> None:
    copy = shutil.copytree(qdrant, tmp_path / "index")
    (file,) = copy.rglob("storage.sqlite")
    with contextlib.closing(sqlite3.connect(file)) as storage:
        bomb = bombs(mark)[number]
        if trick in ("a point", "another name"):
            storage.execute("UPDATE points SET point = ?", (bomb,))
        else:
            storage.execute("ALTER TABLE points RENAME TO sound")
            odds = "random() % 2" if "changes" in trick else "1"
            storage.execute(
                "CREATE VIEW points AS SELECT rowid, id, "
                f"CASE WHEN {odds} THEN x'{bomb.hex()}' ELSE point END AS point FROM sound"
            )
        storage.commit()
    if trick == "another name":
        meta = copy / "qdrant" / "meta.json"
        content = json.loads(meta.read_text())
        (settings,) = content["collections"].values()
        meta.write_text(json.dumps(content | {"collections": {"a/b": settings}}))
        (copy / "qdrant" / "collection" / "a").mkdir()
        file.parent.rename(copy / "qdrant" / "collection" / "a" / "b")
    for _ in range(3):
        ended = mmft("search", retrieval_run, "--index", copy, "a fine day")
        assert not mark.exists()
        assert ended.code == 2 or "changes" in trick, ended.err
        assert ended.code != 2 or "something other than points" in " ".join(ended.err.split())


# --- graphs -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick_latencies", "onnx_operators")
def test_a_graph_of_onnx_reads_no_file_outside_its_folder(
    text_run: Path, tmp_path: Path, mmft: Mmft
) -> None:
    onnx = pytest.importorskip("onnx")
    export, secret = tmp_path / "export", tmp_path / "secret"
    assert mmft("export", text_run, "--format", "onnx", "-o", export).code == 0
    (file,) = export.glob("*.onnx")
    sound = onnx.load(file)
    tensor = max(sound.graph.initializer, key=lambda t: len(t.raw_data))
    secret.write_bytes(tensor.raw_data)
    (export / "link").symlink_to(secret)
    told = json.loads((export / "export.json").read_text())
    (export / "export.json").write_text(json.dumps(told | {"files": {}}))
    size = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    for place in ("../secret", str(secret), "link"):
        tensor.data_location = onnx.TensorProto.EXTERNAL
        del tensor.external_data[:]
        for key, value in (("location", place), ("length", str(size))):
            tensor.external_data.add(key=key, value=value)
        file.write_bytes(sound.SerializeToString())
        refused(mmft("predict", export, "a fine day"), "cannot be loaded")
    sound.graph.node[0].domain = NAME
    file.write_bytes(sound.SerializeToString())
    refused(mmft("predict", export, "a fine day"), "cannot be loaded")


@pytest.fixture(scope="module")
def exported(
    text_run: Path, tmp_path_factory: pytest.TempPathFactory, quick_latencies: None
) -> Path:
    out = tmp_path_factory.mktemp("exported") / "export"
    main(["export", str(text_run), "--format", "torch-export", "-o", str(out)])
    return out


@pytest.mark.parametrize("where", ["files", "graphs"])
def test_an_export_names_files_of_its_own(
    exported: Path, tmp_path: Path, mmft: Mmft, where: str
) -> None:
    export = shutil.copytree(exported, tmp_path / "export")
    told = json.loads((export / "export.json").read_text())
    if where == "files":
        told["files"]["../secret"] = "0" * 64
    else:
        told["graphs"][0]["file"] = "../secret"
    (export / "export.json").write_text(json.dumps(told))
    refused(mmft("predict", export, "a fine day"), "lies outside of it")


def test_what_is_published_belongs_to_the_run(text_run: Path, tmp_path: Path, mmft: Mmft) -> None:
    run = shutil.copytree(text_run, tmp_path / "run")
    (tmp_path / "secret").write_text("a key")
    (run / "model" / "assets" / "text" / "notes.json").symlink_to(tmp_path / "secret")
    refused(mmft("publish", run, "-o", tmp_path / "out"), "notes.json is a link to")
    assert not (tmp_path / "out").exists()


# --- data ---------------------------------------------------------------------------------------

ROWS = "text,label\n" + "a fine day,good\nan awful night,bad\n" * 15


def workbook(path: Path, sheet: Callable[[str], str]) -> Path:
    """An Excel workbook whose sheet was edited as XML."""
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in ROWS.splitlines():
        book.active.append(row.split(","))
    book.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = "xl/worksheets/sheet1.xml"
    members[name] = sheet(members[name].decode()).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def entities(define: str) -> Callable[[str], str]:
    """A sheet whose first cell is the value of an entity."""

    def edit(sheet: str) -> str:
        start, found, rest = sheet.partition("<worksheet")
        rest = rest.replace('<c r="A2" t="s"><v>', '<c r="A2" t="str"><v>&e;</v><v>', 1)
        return f"{start}<!DOCTYPE x [{define}]>{found}{rest}"

    return edit


def billion_laughs() -> str:
    levels = [f'<!ENTITY e{k} "{f"&e{k - 1};" * 10}">' for k in range(1, 12)]
    return "".join(['<!ENTITY e0 "ha">', *levels, '<!ENTITY e "&e11;">'])


def packed_table(path: Path) -> Path:
    path.write_bytes(gzip.compress(ROWS.encode() + b"x,good\n" * SMALL))
    return path


def packed_lines(path: Path) -> Path:
    path.write_bytes(gzip.compress(b'{"text": "x", "label": "good"}\n' * SMALL))
    return path


def one_line(path: Path) -> Path:
    path.write_bytes(gzip.compress(b"text,label\n" + b"x" * 8 * SMALL))
    return path


def repeated_text(path: Path) -> Path:
    text = pa.array(["x" * 10_000]).take(pa.array([0] * 1000))
    pq.write_table(pa.table({"text": text, "label": ["good", "bad"] * 500}), path)
    return path


def nested_text(path: Path) -> Path:
    lists = pa.array([["x" * 1000] * 100] * 50)
    pq.write_table(pa.table({"text": ["a", "b"] * 25, "label": lists}), path)
    return path


def repeated_number(path: Path) -> Path:
    numbers = pa.array(np.zeros(10 * SMALL))
    pq.write_table(pa.table({"text": numbers, "label": numbers}), path)
    return path


TABLES: dict[str, tuple[str, Callable[[Path], Path], str]] = {
    "gzip": ("t.csv.gz", packed_table, "bytes would become more than"),
    "gzip, lines of JSON": ("t.jsonl.gz", packed_lines, "bytes would become more than"),
    "gzip, one line": ("t.tsv.gz", one_line, "bytes would become more than"),
    "Excel": (
        "t.xlsx",
        lambda path: workbook(path, lambda sheet: sheet + " " * 8 * SMALL),
        "bytes would become more than",
    ),
    "Excel, entities": (
        "t.xlsx",
        lambda path: workbook(path, entities(billion_laughs())),
        "is not an Excel workbook that can be read",
    ),
    "Excel, entities of other files": (
        "t.xlsx",
        lambda path: workbook(path, entities('<!ENTITY e SYSTEM "file:///etc/hostname">')),
        "is not an Excel workbook that can be read",
    ),
    "Parquet, a text": ("t.parquet", repeated_text, "bytes would become more than"),
    "Parquet, lists": ("t.parquet", nested_text, "bytes would become more than"),
    "Parquet, a number": ("t.parquet", repeated_number, "bytes would become more than"),
}


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expansion, "FREE", SMALL)
    monkeypatch.setattr(parquet_size, "FREE", SMALL)
    monkeypatch.setattr(expansion, "RATIO", 20)


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("name", TABLES)
def test_tables_do_not_fill_memory(tmp_path: Path, mmft: Mmft, name: str) -> None:
    file, make, words = TABLES[name]
    table = make(tmp_path / file)
    refused(mmft("data", "check", table, "--task", "text-cls"), words, table.name)


@pytest.mark.usefixtures("small_limits")
def test_packed_tables_of_usual_sizes_are_read(tmp_path: Path, mmft: Mmft) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(ROWS.encode()))
    workbook(tmp_path / "t.xlsx", lambda sheet: sheet)
    rows = [row.split(",") for row in ROWS.splitlines()[1:]]
    columns = {"text": [r[0] for r in rows], "label": [r[1] for r in rows]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    for name in ("t.csv.gz", "t.xlsx", "t.parquet"):
        ended = mmft("data", "check", tmp_path / name, "--task", "text-cls")
        assert "30 samples" in ended.out.replace("\n", " ") + ended.err, ended.out + ended.err


def tar(path: Path, kind: str, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, f"w:{kind}") as archive:  # type: ignore[call-overload]
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
@pytest.mark.parametrize("what", ["one file", "many files", "a long name"])
def test_archives_do_not_fill_the_disk(tmp_path: Path, kind: str, what: str) -> None:
    from mmft_core.errors import DataError
    from mmft_datasets.unpacking import unpacked

    files: list[tuple[tarfile.TarInfo, bytes]] = {
        "one file": [(tarfile.TarInfo("x"), b"\0" * 8 * SMALL)],
        "many files": [(tarfile.TarInfo(str(k)), b"") for k in range(8 * SMALL // 512)],
        "a long name": [(tarfile.TarInfo("x" * 8 * SMALL), b"")],
    }[what]
    archive = tar(tmp_path / f"x.tar.{kind}", kind, *files)
    with pytest.raises(DataError, match="bytes would become more than"):
        unpacked(archive, tmp_path / "x")
    assert [path.name for path in tmp_path.iterdir()] == [archive.name]


# --- CIFAR --------------------------------------------------------------------------------------


class At:
    """An array of objects at an address that the pickle states."""

    def __reduce__(self) -> tuple[Any, ...]:
        return np.ndarray, ((1,), "O", b"\x41" * 8)


class Objects:
    def __reduce__(self) -> tuple[Any, ...]:
        return np.array([NAME], dtype=object).__reduce__()


CIFAR: dict[str, Callable[[Path], bytes]] = {
    **{f"bomb {k}": (lambda mark, k=k: bombs(mark)[k]) for k in range(3)},
    "an array at an address": lambda mark: pickle.dumps({"data": At(), "labels": [0]}),
    "an array of objects": lambda mark: pickle.dumps({"data": Objects(), "labels": [0]}),
    "an array of numbers": lambda mark: pickle.dumps({"data": np.zeros(3072), "labels": [0]}),
    "no array": lambda mark: pickle.dumps({"data": "x", "labels": [0]}),
    "labels are an array": lambda mark: pickle.dumps(
        {"data": np.zeros(3072, np.uint8)} | {"labels": np.zeros(1, np.uint8)}
    ),
}


@pytest.mark.parametrize("name", CIFAR)
def test_batches_of_cifar_make_arrays_of_bytes_only(
    tmp_path: Path, mark: Path, mmft: Mmft, name: str
) -> None:
    import torchvision.datasets as zoo

    kind, content = zoo.CIFAR10, CIFAR[name](mark)
    names = [n for n, _ in (*kind.train_list, *kind.test_list)]
    members = [(f"{kind.base_folder}/{n}", content) for n in names]
    meta = pickle.dumps({"label_names": [str(k) for k in range(10)]})
    members.append((f"{kind.base_folder}/{kind.meta['filename']}", meta))
    tar(tmp_path / kind.filename, "gz", *((tarfile.TarInfo(n), c) for n, c in members))
    ended = mmft("data", "check", "cifar10", "--set", f"dataset.root={tmp_path}")
    refused(ended, "cifar10", "damaged")
    assert not mark.exists()
