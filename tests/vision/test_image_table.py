"""Tables of pictures: columns, splits, and every row that can be wrong."""

from __future__ import annotations

import json
import pickle
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from mmft_core import DatasetSpec, discover
from mmft_core.config.options import convert
from mmft_core.contracts import Dataset, DatasetContext
from mmft_core.errors import DataError, SampleError
from tests.vision.tools import faults, ids, open_dataset, sizes, targets

Row = dict[str, Any]


@pytest.fixture
def rows(photo_folder: Callable[..., Path]) -> list[Row]:
    """Twenty rows, whose pictures lie below the folder `pictures`."""
    root = photo_folder("pictures", 10)
    return [
        {"image": str(p.relative_to(root.parent)), "label": p.parent.name}
        for p in sorted(root.rglob("*.jpg"))
    ]


def write(folder: Path, rows: list[Row], form: str = "csv") -> Path:
    path = folder / f"labels.{form}"
    if form == "parquet":
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path)
    elif form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        sep = "\t" if form == "tsv" else ","
        lines = [sep.join(rows[0])] + [sep.join(str(v) for v in row.values()) for row in rows]
        path.write_text("\n".join(lines) + "\n")
    return path


def load(path: Path | str, **options: Any) -> Dataset:
    return open_dataset("image-table", path=path, **options)


def test_what_is_only_predicted_needs_no_labels(tmp_path: Path, rows: list[Row]) -> None:
    path = write(tmp_path, [{"image": row["image"]} for row in rows])
    with pytest.raises(DataError, match="clearly the label"):
        load(path)
    component = discover().get(DatasetSpec, "image-table")
    options = convert(
        {"path": str(path), "label_column": "label"}, component.options_type(), "dataset"
    )
    dataset = component.build(options, DatasetContext(target="none", training=False))
    assert sum(sizes(dataset).values()) == len(rows) and not faults(dataset)
    assert all(split[0].target is None for split in dataset.splits.values())


# --- forms and columns --------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
def test_every_form_is_read_without_a_network(
    tmp_path: Path,
    rows: list[Row],
    form: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("it tries the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    dataset = load(write(tmp_path, rows, form))
    assert dataset.info.classes == ("china", "flower")
    assert sizes(dataset) == {"train": 16, "val": 2, "test": 2}
    assert faults(dataset) == {}
    sample = dataset.splits["train"][0]
    assert sample.inputs["image"].size == (120, 120)
    assert sample.id.startswith(f"labels.{form}, row ") and sample.target in sample.id
    assert capfd.readouterr() == ("", "")  # No progress bars either.


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_rows_are_numbered_from_below_the_header(
    tmp_path: Path, rows: list[Row], form: str
) -> None:
    found = ids(load(write(tmp_path, rows, form), val=0, test=0).splits["train"])
    assert found[16] == f"labels.{form}, row 17 ({rows[16]['image']})"


def test_paths_may_be_absolute(tmp_path: Path, rows: list[Row]) -> None:
    absolute = [{**r, "image": str(tmp_path / r["image"])} for r in rows]
    (tmp_path / "elsewhere").mkdir()
    assert faults(load(write(tmp_path / "elsewhere", absolute))) == {}


@pytest.mark.parametrize("image", ["Image", "PATH", "file", "filename", "filepath", "image_path"])
@pytest.mark.parametrize("label", ["Label", "class", "target", "CATEGORY"])
def test_columns_of_usual_names_are_found(
    tmp_path: Path, rows: list[Row], image: str, label: str
) -> None:
    renamed = [{"note": "x.jpg", image: r["image"], label: r["label"]} for r in rows]
    assert faults(load(write(tmp_path, renamed, "parquet"))) == {}


def test_the_one_column_of_paths_is_found(tmp_path: Path, rows: list[Row]) -> None:
    renamed = [{"picture": r["image"], "label": f"{r['label']}.jpg", "note": "x"} for r in rows]
    renamed[1]["picture"] = ""  # An empty cell is that row's fault alone.
    dataset = load(write(tmp_path, renamed))
    assert list(faults(dataset)) == ["labels.csv, row 2"]


def test_several_columns_of_paths_are_for_the_user_to_choose_from(
    tmp_path: Path, rows: list[Row]
) -> None:
    renamed = [{"before": r["image"], "after": r["image"], "label": r["label"]} for r in rows]
    path = write(tmp_path, renamed)
    with pytest.raises(DataError, match=r"image_column=NAME; its columns are: before, after"):
        load(path)
    assert faults(load(path, image_column="after")) == {}


def test_an_unclear_label_column_is_for_the_user_to_name(tmp_path: Path, rows: list[Row]) -> None:
    renamed = [{"image": r["image"], "kind": r["label"], "by": "me"} for r in rows]
    path = write(tmp_path, renamed)
    with pytest.raises(DataError, match=r"clearly the label.*label_column=NAME.*: image, kind"):
        load(path)
    assert load(path, label_column="kind").info.classes == ("china", "flower")


def test_the_only_other_column_is_that_of_the_labels(tmp_path: Path, rows: list[Row]) -> None:
    path = write(tmp_path, [{"image": r["image"], "kind": r["label"]} for r in rows])
    assert load(path).info.classes == ("china", "flower")


def test_an_absent_column_is_named_with_the_nearest(tmp_path: Path, rows: list[Row]) -> None:
    with pytest.raises(DataError, match=r"no column 'lable'\. Did you mean 'label'"):
        load(write(tmp_path, rows), label_column="lable")


# --- labels -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_numbers_as_labels_are_sorted_by_value(tmp_path: Path, rows: list[Row], form: str) -> None:
    numbered = [{**r, "label": i % 12} for i, r in enumerate(rows)]
    dataset = load(write(tmp_path, numbered, form), val=0, test=0)
    assert dataset.info.classes == tuple(str(i) for i in range(12))
    assert targets(dataset.splits["train"]) == [str(i % 12) for i in range(20)]


def test_numbers_with_gaps_stay_whole(tmp_path: Path, rows: list[Row]) -> None:
    gappy = [{**r, "label": float(i % 3) if i else float("nan")} for i, r in enumerate(rows)]
    dataset = load(write(tmp_path, gappy, "parquet"))
    assert dataset.info.classes == ("0", "1", "2")
    assert list(faults(dataset).values()) == ["it has no label"]


def test_odd_labels_are_classes_like_others(tmp_path: Path, rows: list[Row]) -> None:
    labels = ["NA", "two\nlines", "--5", "-", "007", "7", "ünï", 'a "b", c']
    body = "".join(
        '{},"{}"\n'.format(r["image"], labels[i % 8].replace('"', '""')) for i, r in enumerate(rows)
    )
    path = tmp_path / "labels.csv"
    path.write_text("image,label\n" + body, encoding="utf-8-sig")
    dataset = load(path, val=0, test=0)
    assert set(dataset.info.classes) == set(labels)
    assert faults(dataset) == {}
    assert targets(dataset.splits["train"])[:8] == labels


def test_columns_of_records_or_lists_are_refused(tmp_path: Path, rows: list[Row]) -> None:
    embedded = [{"image": {"url": r["image"], "size": 3}, "label": r["label"]} for r in rows]
    with pytest.raises(DataError, match=r"Column 'image' of .* holds records of url, size"):
        load(write(tmp_path, embedded, "parquet"))
    several = [{"image": r["image"], "label": [r["label"]]} for r in rows]
    with pytest.raises(DataError, match=r"Column 'label' of .* holds list values"):
        load(write(tmp_path, several, "parquet"))


def test_one_class_is_refused_for_training_only(tmp_path: Path, rows: list[Row]) -> None:
    path = write(tmp_path, [r for r in rows if r["label"] == "china"])
    with pytest.raises(DataError, match="one class only, 'china'"):
        load(path)
    assert load(path, training=False).info.classes == ("china",)
    path = write(tmp_path, [{**r, "label": ""} for r in rows])
    with pytest.raises(DataError, match=r"Column 'label' of .* has no labels"):
        load(path)


# --- splits -------------------------------------------------------------------------------------


def test_without_a_split_column_rows_are_divided_by_class_and_seed(
    tmp_path: Path, rows: list[Row]
) -> None:
    path = write(tmp_path, rows)
    test = load(path).splits["test"]
    assert sorted(targets(test)) == ["china", "flower"]
    assert ids(load(path).splits["test"]) == ids(test) != ids(load(path, seed=5).splits["test"])


def test_a_split_column_is_followed(tmp_path: Path, rows: list[Row]) -> None:
    parts = ["train", "Train", "valid", "test"]
    path = write(tmp_path, [{**r, "split": parts[i % 4]} for i, r in enumerate(rows)])
    dataset = load(path)
    assert sizes(dataset) == {"train": 10, "val": 5, "test": 5}
    assert ids(dataset.splits["test"])[0].startswith("labels.csv, row 4 ")
    assert "splits from column 'split'" in dataset.info.notes


def test_a_split_column_of_another_name_and_without_val(tmp_path: Path, rows: list[Row]) -> None:
    parts = ["train", "train", "train", "test"]
    path = write(tmp_path, [{**r, "part": parts[i % 4]} for i, r in enumerate(rows)])
    dataset = load(path, split_column="part")
    assert sizes(dataset) == {"train": 13, "val": 2, "test": 5}
    assert "set aside at random, by class: val" in dataset.info.notes


@pytest.mark.parametrize("word", ["tset", ""])
def test_an_unknown_split_is_named_by_row(tmp_path: Path, rows: list[Row], word: str) -> None:
    rows[6]["split"] = word
    path = write(tmp_path, [{"split": "train"} | r for r in rows])
    with pytest.raises(DataError, match=rf"labels.csv, row 7: '{word}' in column 'split'"):
        load(path)


def test_a_class_without_training_row_is_named(tmp_path: Path, rows: list[Row]) -> None:
    parts = [{**r, "split": "train" if r["label"] == "china" else "test"} for r in rows]
    with pytest.raises(DataError, match=r"row 11: class 'flower' has no sample in the train split"):
        load(write(tmp_path, parts))
    assert sizes(load(write(tmp_path, parts), training=False))["test"] == 10


def test_no_training_row_is_refused(tmp_path: Path, rows: list[Row]) -> None:
    with pytest.raises(DataError, match=r"No row of .*labels.csv belongs to the train split"):
        load(write(tmp_path, [{**r, "split": "test"} for r in rows]))


# --- rows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_bad_rows_stay_in_and_are_reported_by_number(
    tmp_path: Path, rows: list[Row], form: str
) -> None:
    rows[2]["label"] = ""
    rows[4]["image"] = ""
    rows[5]["image"] = "pictures/missing.jpg"
    rows[7]["image"] = "pictures"
    (tmp_path / rows[8]["image"]).write_text("text")
    dataset = load(write(tmp_path, rows, form))
    assert sum(sizes(dataset).values()) == 20
    found = {key.split(" (")[0]: reason for key, reason in faults(dataset).items()}
    assert found == {
        f"labels.{form}, row 3": "it has no label",
        f"labels.{form}, row 5": "it names no file",
        f"labels.{form}, row 6": "there is no such file",
        f"labels.{form}, row 8": "it is a folder",
        f"labels.{form}, row 9": "it is not an image that can be decoded",
    }


def test_reading_a_bad_row_raises_its_fault(tmp_path: Path, rows: list[Row]) -> None:
    rows[4]["image"], rows[5]["label"] = None, None
    train = load(write(tmp_path, rows, "parquet"), val=0, test=0).splits["train"]
    with pytest.raises(SampleError, match=r"^labels.parquet, row 5: it names no file"):
        train[4]
    with pytest.raises(SampleError, match=r"row 6 \(pictures.*005.jpg\): it has no label"):
        train[5]


def test_it_travels_to_worker_processes(tmp_path: Path, rows: list[Row]) -> None:
    split = load(write(tmp_path, rows)).splits["train"]
    again = pickle.loads(pickle.dumps(split))
    assert ids(again) == ids(split)
    assert again[3].inputs["image"].tobytes() == split[3].inputs["image"].tobytes()


def test_unreadable_tables_are_refused(tmp_path: Path, rows: list[Row]) -> None:
    path = write(tmp_path, rows)
    path.write_text(path.read_text() + "a,b,c,d\n")
    with pytest.raises(DataError, match=r"labels.csv, line 22: 4 cells, but the header has 2"):
        load(path)
    path.write_bytes("image,label\nä.jpg,x\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"labels.csv, line 2: byte 0xe4 is not UTF-8"):
        load(path)
    path.write_text("")
    with pytest.raises(DataError, match="is empty"):
        load(path)
    path.write_text("image,label\n")
    with pytest.raises(DataError, match=r"no rows|cannot be read"):
        load(path)
    broken = tmp_path / "labels.parquet"
    broken.write_bytes(b"PAR1garbage")
    with pytest.raises(DataError, match="cannot be read"):
        load(broken)
    broken = tmp_path / "labels.jsonl"
    broken.write_text('{"image": "a.jpg", "label": "x"}\n{oh\n')
    with pytest.raises(DataError, match=r"labels.jsonl, line 2: it is not valid JSON"):
        load(broken)
    with pytest.raises(DataError, match="There is no table"):
        load(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match="needs a table"):
        load("")


def test_a_row_with_a_surplus_cell_does_not_shift_the_others(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("image,label\na.jpg,x,foo\nb.jpg,y,bar\n")
    with pytest.raises(DataError, match="line 2: 3 cells, but the header has 2"):
        load(path)
