"""Tables of pictures: columns, splits, and every row that can be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from mmft_vision.image_table import build
from mmft_vision.options import ImageTableOptions

from mmft_core.contracts import Dataset, DatasetContext
from mmft_core.errors import DataError, SampleError

Row = dict[str, Any]


@pytest.fixture
def rows(photo_folder: Callable[..., Path]) -> list[Row]:
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


def load(path: Path, *, training: bool = True, **options: Any) -> Dataset:
    context = DatasetContext(seed=0, training=training)
    return build(ImageTableOptions(path=str(path), **options), context)


def faults(dataset: Dataset) -> dict[str, str]:
    found = {}
    for split in dataset.splits.values():
        for i in range(len(split)):
            try:
                split.check(i)
            except SampleError as error:
                found[error.sample_id] = error.reason
    return found


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
def test_every_form_is_read(tmp_path: Path, rows: list[Row], form: str) -> None:
    dataset = load(write(tmp_path, rows, form))
    assert dataset.info.classes == ("china", "flower")
    assert {n: len(s) for n, s in dataset.splits.items()} == {"train": 16, "val": 2, "test": 2}
    assert faults(dataset) == {}
    sample = dataset.splits["train"][0]
    assert sample.inputs["image"].size == (120, 120)
    assert sample.id.startswith(f"labels.{form}, row ") and sample.target in sample.id


def test_columns_are_found_by_content_or_named(tmp_path: Path, rows: list[Row]) -> None:
    renamed = [{"picture": r["image"], "kind": r["label"], "note": "x"} for r in rows]
    path = write(tmp_path, renamed)
    with pytest.raises(DataError, match="no column that is clearly the label.*label_column"):
        load(path)
    assert load(path, label_column="kind").info.classes == ("china", "flower")


def test_an_absent_column_is_named_with_the_nearest(tmp_path: Path, rows: list[Row]) -> None:
    with pytest.raises(DataError, match="no column 'lable'. Did you mean 'label'"):
        load(write(tmp_path, rows), label_column="lable")


def test_numbers_as_labels_are_sorted_by_value(tmp_path: Path, rows: list[Row]) -> None:
    numbered = [{**r, "label": i % 12} for i, r in enumerate(rows)]
    for form in ("csv", "parquet"):
        classes = load(write(tmp_path, numbered, form), val=0, test=0).info.classes
        assert classes == tuple(str(i) for i in range(12))


def test_a_label_called_na_and_quoted_newlines_survive(tmp_path: Path, rows: list[Row]) -> None:
    labels = ["NA", "two\nlines"]
    body = "".join(f'{r["image"]},"{labels[i % 2]}"\n' for i, r in enumerate(rows))
    path = tmp_path / "labels.csv"
    path.write_text("image,label\n" + body)
    assert load(path).info.classes == ("NA", "two\nlines")


def test_a_split_column_is_followed(tmp_path: Path, rows: list[Row]) -> None:
    parts = ["train", "Train", "valid", "test"]
    path = write(tmp_path, [{**r, "split": parts[i % 4]} for i, r in enumerate(rows)])
    assert {n: len(s) for n, s in load(path).splits.items()} == {"train": 10, "val": 5, "test": 5}


def test_an_unknown_split_is_named_by_row(tmp_path: Path, rows: list[Row]) -> None:
    rows[6]["split"] = "tset"
    path = write(tmp_path, [{"split": "train"} | r for r in rows])
    with pytest.raises(DataError, match=r"labels.csv, row 7: 'tset' in column 'split'"):
        load(path)


def test_a_class_without_training_row_is_named(tmp_path: Path, rows: list[Row]) -> None:
    parts = [{**r, "split": "train" if r["label"] == "china" else "test"} for r in rows]
    with pytest.raises(DataError, match="one class|no sample in the train split"):
        load(write(tmp_path, parts))


def test_bad_rows_stay_in_and_are_reported_by_number(tmp_path: Path, rows: list[Row]) -> None:
    rows[2]["label"] = ""
    rows[4]["image"] = ""
    rows[5]["image"] = "pictures/missing.jpg"
    (tmp_path / rows[8]["image"]).write_text("text")
    dataset = load(write(tmp_path, rows))
    assert sum(map(len, dataset.splits.values())) == 20
    found = {key.split(" (")[0]: reason for key, reason in faults(dataset).items()}
    assert found == {
        "labels.csv, row 3": "it has no label",
        "labels.csv, row 5": "it names no file",
        "labels.csv, row 6": "there is no such file",
        "labels.csv, row 9": "is not an image that can be decoded",
    }


def test_unreadable_tables_are_refused(tmp_path: Path, rows: list[Row]) -> None:
    path = write(tmp_path, rows)
    path.write_text(path.read_text() + "a,b,c,d\n")
    with pytest.raises(DataError, match="Expected 2 fields in line 22, saw 4"):
        load(path)
    path.write_bytes(b"image,label\n\xff\xfe\x00,x\n")
    with pytest.raises(DataError, match="cannot be read"):
        load(path)
    path.write_text("")
    with pytest.raises(DataError, match="is empty"):
        load(path)
    path.write_text("image,label\n")
    with pytest.raises(DataError, match="no rows|cannot be read"):
        load(path)
    broken = tmp_path / "labels.parquet"
    broken.write_bytes(b"PAR1garbage")
    with pytest.raises(DataError, match="cannot be read"):
        load(broken)
    with pytest.raises(DataError, match="There is no table"):
        load(tmp_path / "nowhere.csv")


def test_one_class_is_refused_for_training_only(tmp_path: Path, rows: list[Row]) -> None:
    path = write(tmp_path, [r for r in rows if r["label"] == "china"])
    with pytest.raises(DataError, match="one class only, 'china'"):
        load(path)
    assert load(path, training=False).info.classes == ("china",)
