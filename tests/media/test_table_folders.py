"""Folders that are tables: as `datasets` saves them, and Parquet in shards as the Hub has it."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet
import pytest

from mmft_core.data.tables import form_of, is_table_folder
from mmft_core.errors import DataError
from mmft_tables.tables import Table
from tests.conftest import Finished
from tests.media.tools import MEDIA, build, picture, write
from tests.vision.tools import faults, ids, sizes

Call = Callable[..., Finished]
WHOLE: dict[str, Any] = {"val": 0.0, "test": 0.0}


def rows(numbers: Sequence[int]) -> pa.Table:
    held = [{"bytes": picture(k), "path": f"{k}.png"} for k in numbers]
    return pa.table({"image": held, "label": [("dark", "light")[k % 2] for k in numbers]})


def shard(path: Path, numbers: Sequence[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(rows(numbers), path)


def saved(path: Path, numbers: Sequence[int], shards: int = 1) -> None:
    own = datasets.Dataset(rows(numbers)).cast_column("image", datasets.Image())
    own.save_to_disk(path, num_shards=shards)


def test_the_hubs_shards_give_the_splits(tmp_path: Path) -> None:
    shard(tmp_path / "data" / "train-00000-of-00002.parquet", range(6))
    shard(tmp_path / "data" / "train-00001-of-00002.parquet", range(6, 10))
    shard(tmp_path / "data" / "validation-00000-of-00001.parquet", range(10, 14))
    shard(tmp_path / "data" / "test-00000-of-00001-0a1b2c3d4e5f.parquet", range(14, 16))
    shard(tmp_path / "data" / "unsupervised-00000-of-00001.parquet", range(3))
    (tmp_path / "README.md").write_text("# A card")
    (tmp_path / ".gitattributes").write_text("*")
    (tmp_path / ".git").mkdir()
    assert form_of(tmp_path) == ".parquet"
    dataset = build("image-table", tmp_path)
    assert sizes(dataset) == {"train": 10, "val": 4, "test": 2}
    assert faults(dataset) == {}
    assert ids(dataset.splits["train"])[5:7] == [
        "data/train-00000-of-00002.parquet, row 6 (5.png)",
        "data/train-00001-of-00002.parquet, row 1 (6.png)",
    ]
    assert ids(dataset.splits["test"])[1].endswith("5f.parquet, row 2 (15.png)")
    (note,) = (n for n in dataset.info.notes if "neither train" in n)
    assert "data/unsupervised-00000-of-00001.parquet" in note


LAYOUTS: dict[str, dict[str, Sequence[int]]] = {
    "flat": {"train.parquet": range(8), "test.parquet": range(8, 12)},
    "folders": {"train/0000.parquet": range(8), "test/0000.parquet": range(8, 12)},
    "configuration": {
        "plain_text/train-00000-of-00001.parquet": range(8),
        "plain_text/test-00000-of-00001.parquet": range(8, 12),
    },
    "converted": {
        "default/train/0000.parquet": range(8),
        "default/test/0000.parquet": range(8, 12),
    },
    "spark": {
        "train/part-00000-8f2a.c000.snappy.parquet": range(8),
        "test/part-00000-8f2a.c000.snappy.parquet": range(8, 12),
    },
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_usual_layouts(tmp_path: Path, layout: str) -> None:
    for name, numbers in LAYOUTS[layout].items():
        shard(tmp_path / name, numbers)
    (tmp_path / "_SUCCESS").touch()
    assert sizes(build("image-table", tmp_path, val=0.0)) == {"train": 8, "test": 4}


def test_shards_without_splits_are_divided_at_random(tmp_path: Path) -> None:
    for k in range(3):
        shard(tmp_path / f"part-{k:04}.parquet", range(k, 20 + k))
    assert sizes(build("image-table", tmp_path)) == {"train": 48, "val": 6, "test": 6}


def test_a_saved_data_set_and_a_saved_dictionary_of_splits(tmp_path: Path) -> None:
    saved(tmp_path / "one", range(12), shards=3)
    dataset = build("image-table", tmp_path / "one", **WHOLE)
    assert sizes(dataset) == {"train": 12} and faults(dataset) == {}
    assert ids(dataset.splits["train"])[11] == "one, row 12 (11.png)"
    for name, numbers in {"train": range(8), "validation": range(8, 10), "test": range(4)}.items():
        saved(tmp_path / "several" / name, numbers)
    (tmp_path / "several" / "dataset_dict.json").write_text('{"splits": []}')
    dataset = build("image-table", tmp_path / "several")
    assert sizes(dataset) == {"train": 8, "val": 2, "test": 4} and faults(dataset) == {}
    assert ids(dataset.splits["val"]) == [
        "several/validation, row 1 (8.png)",
        "several/validation, row 2 (9.png)",
    ]


def test_texts_are_read_from_them_as_well(tmp_path: Path) -> None:
    for name, count in {"train": 6, "test": 4}.items():
        texts = [f"words of a text, number {k}" for k in range(count)]
        own = datasets.Dataset.from_dict({"text": texts, "label": ["a", "b"] * (count // 2)})
        own.save_to_disk(tmp_path / "texts" / name)
    (tmp_path / "texts" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    dataset = build("text-table", tmp_path / "texts", val=0.0)
    assert sizes(dataset) == {"train": 6, "test": 4}
    assert dataset.splits["test"][3].id == "texts/test, row 4"


def test_a_test_split_may_lack_its_labels(tmp_path: Path) -> None:
    shard(tmp_path / "train.parquet", range(8))
    bare = rows(range(3)).drop(["label"])
    pyarrow.parquet.write_table(bare, tmp_path / "test.parquet")
    dataset = build("image-table", tmp_path, val=0.0)
    assert faults(dataset) == {
        f"test.parquet, row {k + 1} ({k}.png)": "it has no label" for k in range(3)
    }


def test_folders_of_pictures_stay_what_they_are(tmp_path: Path) -> None:
    for label in ("a", "b"):
        write(tmp_path / label, MEDIA["image"])
    pyarrow.parquet.write_table(rows(range(2)), tmp_path / "labels.parquet")
    assert form_of(tmp_path) == "/" and not is_table_folder(tmp_path / "nowhere")
    assert sizes(build("image-folder", tmp_path, **WHOLE)) == {"train": 8}
    # Pictures that a table's rows name lie beside it.
    shutil.rmtree(tmp_path / "b")
    (tmp_path / "labels.parquet").rename(tmp_path / "train.parquet")
    assert is_table_folder(tmp_path)


def test_paths_start_from_the_folder_of_the_shards(tmp_path: Path) -> None:
    write(tmp_path / "data" / "pictures", MEDIA["image"])
    cells = [{"bytes": None, "path": f"pictures/{k:02}.png"} for k in range(4)]
    pyarrow.parquet.write_table(
        pa.table({"image": cells, "label": list("abab")}), tmp_path / "data" / "train-0000.parquet"
    )
    assert faults(build("image-table", tmp_path, **WHOLE)) == {}


def two_configurations(folder: Path) -> None:
    for name in ("small", "large"):
        shard(folder / name / "train-00000-of-00001.parquet", range(4))


def a_damaged_shard(folder: Path) -> None:
    shard(folder / "train-00000-of-00002.parquet", range(4))
    (folder / "train-00001-of-00002.parquet").write_bytes(b"PAR1 and no more")


def other_columns(folder: Path) -> None:
    shard(folder / "train-00000-of-00002.parquet", range(4))
    table = pa.table({"image": [1, 2], "kind": ["a", "b"]})
    pyarrow.parquet.write_table(table, folder / "train-00001-of-00002.parquet")


def a_contradiction(folder: Path) -> None:
    table = rows(range(4)).append_column("split", pa.array(["train", "train", "test", "train"]))
    pyarrow.parquet.write_table(table, folder / "train-0000.parquet")


def a_damaged_save(folder: Path) -> None:
    saved(folder, range(4))
    (folder / "data-00000-of-00001.arrow").write_bytes(b"\xff\xff\xff\xff0000")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (two_configurations, r"holds several tables: large, small\. Give one of them: .*small"),
        (a_damaged_shard, r"The table \S+ cannot be read: .*\. Its files must be whole"),
        (other_columns, r"The table \S+ cannot be read: "),
        (a_contradiction, r"train-0000.parquet, row 3: column 'split' says 'test', but"),
        (a_damaged_save, r"The table \S+ cannot be read: "),
    ],
)
def test_unusable_folders_are_refused(
    tmp_path: Path, make: Callable[[Path], None], words: str
) -> None:
    make(tmp_path)
    with pytest.raises(DataError, match=words):
        build("image-table", tmp_path)


# --- commands -----------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """Shards with a damaged and a blank picture, and one that is there twice."""
    folder = tmp_path / "hub"
    numbers = range(24)
    table = rows(numbers)
    held = table["image"].to_pylist()
    held[3]["bytes"] = held[3]["bytes"][:100]
    held[5] = held[7]
    table = table.set_column(0, "image", pa.array(held)).append_column("id", pa.array(numbers))
    (folder / "data").mkdir(parents=True)
    for name, start, end in (("train-00000-of-00002", 0, 10), ("train-00001-of-00002", 10, 18)):
        part = table.slice(start, end - start)
        pyarrow.parquet.write_table(part, folder / "data" / f"{name}.parquet")
    pyarrow.parquet.write_table(table.slice(18), folder / "data" / "test-00000-of-00001.parquet")
    return folder


def test_check_names_rows_and_clean_writes_parquet(mmft: Call, hub: Path, tmp_path: Path) -> None:
    ended = mmft("data", "check", hub)
    assert ended.code == 1, ended.err
    first = "data/train-00000-of-00002.parquet"
    assert f"{first}, row 4 cannot be decoded" in ended.out
    assert "row 6" in ended.out and "row 8" in ended.out
    assert "-o cleaned.parquet" in ended.out
    ended = mmft("data", "clean", hub, "-o", tmp_path / "clean.csv")
    assert ended.code == 2 and "Column 'image' of" in ended.err and "-o" in ended.err
    ended = mmft("data", "clean", hub, "-o", tmp_path / "clean.parquet")
    assert ended.code == 0, ended.err
    table = pyarrow.parquet.read_table(tmp_path / "clean.parquet")
    assert table.column_names == ["image", "label", "id", "split"]
    assert 3 not in table["id"].to_pylist() and len(table) == 22
    assert table["id"].to_pylist()[:2] == [18, 19]  # In the order of the files' names.
    assert table["image"][0].as_py()["bytes"] == picture(18)
    assert pa.types.is_integer(table["id"].type)
    assert sizes(build("image-table", tmp_path / "clean.parquet", val=0.0)) == {
        "train": 16,
        "test": 6,
    }
    removed = (tmp_path / "clean.removed.csv").read_text()
    assert f'"{first}, row 4",unreadable' in removed, removed


def test_split_writes_parquet_from_anywhere(mmft: Call, tmp_path: Path) -> None:
    home = tmp_path / "home"
    write(home, MEDIA["image"], 2)
    held = [{"bytes": picture(k), "path": f"{k}.png"} for k in range(18)]
    held += [{"bytes": None, "path": f"{k:02}.png"} for k in range(2)]
    table = pa.table({"image": held, "label": ["a", "b"] * 10, "count": [None, 1] * 10})
    pyarrow.parquet.write_table(table, home / "t.parquet")
    out = tmp_path / "elsewhere" / "divided.parquet"
    ended = mmft("data", "split", home / "t.parquet", "-o", out, "--test", "0.2")
    assert ended.code == 0, ended.err
    divided = pyarrow.parquet.read_table(out)
    assert Counter(divided["split"].to_pylist()) == {"train": 14, "val": 2, "test": 4}
    assert divided["count"].to_pylist() == table["count"].to_pylist()
    assert Path(divided["image"][19].as_py()["path"]).is_absolute()
    assert faults(build("image-table", out)) == {}
    ended = mmft("data", "split", home / "t.parquet", "-o", tmp_path / "f.parquet", "--folds", 4)
    assert ended.code == 0, ended.err
    assert len(Table(tmp_path / "f.fold-3.parquet")) == 20
    assert mmft("data", "split", home / "t.parquet", "-o", tmp_path / "x.csv").code == 2


def test_folders_can_be_written_as_parquet_too(mmft: Call, tmp_path: Path) -> None:
    for label in ("a", "b"):
        write(tmp_path / "photos" / label, MEDIA["image"], 8)
    ended = mmft("data", "split", tmp_path / "photos", "-o", tmp_path / "photos.parquet")
    assert ended.code == 0, ended.err
    assert faults(build("image-table", tmp_path / "photos.parquet")) == {}


@pytest.mark.usefixtures("tiny_backbone")
def test_a_run_is_judged_used_and_searched_on_them(mmft: Call, hub: Path, tmp_path: Path) -> None:
    clean, run = tmp_path / "clean.parquet", tmp_path / "run"
    assert mmft("data", "clean", hub, "-o", clean).code == 0
    train: Sequence[str | Path] = (
        "run", "--task", "image-retrieval", "--backbone", "tiny", "--weights", "none",
        "--set", "engine.steps=2", "--set", "engine.workers=2", "-o", run, "--dataset",
    )  # fmt: skip
    ended = mmft(*train, hub)
    assert ended.code == 2 and "train-00000-of-00002.parquet, row 4 (3.png)" in ended.err
    ended = mmft(*train, clean)
    assert ended.code == 0, ended.err
    assert "data:image/png;base64" in (run / "report.html").read_text()
    ended = mmft("eval", run, "--dataset", hub, "--split", "test")
    assert ended.code == 0 and "retrieval-recall" in ended.out, ended.err
    ended = mmft("predict", run, "--dataset", hub, "--split", "test", "--format", "jsonl")
    assert ended.code == 0 and ended.out.count("test-00000-of-00001.parquet, row ") == 6
    ended = mmft("predict", run, "--dataset", hub, "--format", "csv")
    assert ended.code == 2 and "1 of 24 inputs could not be read: " in ended.err
    ended = mmft("predict", run, hub)
    assert ended.code == 2 and f"{hub} (it is a table, not a single input" in ended.err
    ended = mmft("index", run, "--dataset", clean, "-o", tmp_path / "index")
    assert ended.code == 0, ended.err
