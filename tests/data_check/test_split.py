"""`mmft data split`: splits by class, group and time, and folds."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.conftest import Finished

Call = Callable[..., Finished]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "patients.csv"
    rows = [
        f"note number {k} of somebody,{('ill', 'well')[k % 4 == 0]},p{k % 23},"
        f"2026-{1 + k % 12:02}-{1 + k % 28:02}"
        for k in range(200)
    ]
    file.write_text("text,label,patient,day\n" + "\n".join(rows) + "\n")
    return file


def read(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as source:
        return list(csv.DictReader(source))


def test_each_class_is_divided_in_proportion(mmft: Call, table: Path, tmp_path: Path) -> None:
    ended = mmft("data", "split", table, "-o", tmp_path / "out.csv", "--test", "0.2")
    assert ended.code == 0, ended.err
    rows = read(tmp_path / "out.csv")
    assert Counter(r["split"] for r in rows) == {"train": 140, "val": 20, "test": 40}
    ill = Counter(r["split"] for r in rows if r["label"] == "ill")
    assert ill == {"train": 105, "val": 15, "test": 30}
    assert [r["text"] for r in rows] == [r["text"] for r in read(table)]
    again, other = tmp_path / "again.csv", tmp_path / "other.csv"
    mmft("data", "split", table, "-o", again, "--test", "0.2")
    mmft("data", "split", table, "-o", other, "--test", "0.2", "--seed", 1)
    assert read(again) == rows != read(other)


def test_the_column_of_classes_may_have_any_name(mmft: Call, table: Path, tmp_path: Path) -> None:
    table.write_text(table.read_text().replace("text,label", "text,state", 1))
    ended = mmft("data", "split", table, "-o", tmp_path / "chance.csv")
    assert ended.code == 0 and "no column is clearly the class column" in ended.out
    ended = mmft("data", "split", table, "-o", tmp_path / "out.csv", "--label", "state")
    assert ended.code == 0 and "class, of column 'state'" in ended.out
    rows = read(tmp_path / "out.csv")
    assert Counter(r["split"] for r in rows if r["state"] == "ill") == {
        "train": 120, "val": 15, "test": 15,
    }  # fmt: skip


def test_groups_stay_together(mmft: Call, table: Path, tmp_path: Path) -> None:
    mmft("data", "split", table, "-o", tmp_path / "out.csv", "--group", "patient")
    rows = read(tmp_path / "out.csv")
    assert len({(r["patient"], r["split"]) for r in rows}) == 23
    sizes = Counter(r["split"] for r in rows)
    assert 8 <= sizes["val"] <= 22 and 8 <= sizes["test"] <= 22


def test_the_last_are_the_test(mmft: Call, table: Path, tmp_path: Path) -> None:
    mmft("data", "split", table, "-o", tmp_path / "out.csv", "--time", "day")
    days: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for row in read(tmp_path / "out.csv"):
        days[row["split"]].append(row["day"])
    assert max(days["train"]) <= min(days["val"]) <= max(days["val"]) <= min(days["test"])


def test_a_time_that_is_no_number_is_named(mmft: Call, table: Path, tmp_path: Path) -> None:
    table.write_text("text,label,day\na word,a,1\nanother,b,nan\n")
    ended = mmft("data", "split", table, "-o", tmp_path / "out.csv", "--time", "day")
    assert ended.code == 2 and "Row 2: 'nan' in 'day' is neither" in ended.err


@pytest.mark.parametrize("group", [(), ("--group", "patient")])
def test_folds_cover_everything_once(
    mmft: Call, table: Path, tmp_path: Path, group: tuple[str, ...]
) -> None:
    mmft("data", "split", table, "-o", tmp_path / "out.csv", "--folds", 4, *group)
    held = []
    for number in range(1, 5):
        rows = read(tmp_path / f"out.fold-{number}.csv")
        assert len(rows) == 200
        own = {r["patient"] for r in rows if r["split"] == "val"}
        rest = {r["patient"] for r in rows if r["split"] == "train"}
        assert not group or not own & rest
        held += [r["text"] for r in rows if r["split"] == "val"]
    assert sorted(held) == sorted(r["text"] for r in read(table))


def test_paths_are_found_from_where_the_table_comes_to_lie(
    mmft: Call, photo_folder: Callable[..., Path], tmp_path: Path
) -> None:
    photos = photo_folder(per_class=10)
    (tmp_path / "elsewhere").mkdir()
    first = tmp_path / "first.csv"
    assert mmft("data", "split", photos, "-o", first).code == 0
    assert read(first)[0]["image"].startswith("photos/")
    second = tmp_path / "elsewhere" / "second.csv"
    assert mmft("data", "split", first, "-o", second).code == 0
    for file in (first, second):
        ended = mmft("data", "check", file, "--task", "image-cls")
        assert "unreadable" not in ended.out and "20" not in ended.err, ended.out


def test_what_is_called_as_a_folder_beside_the_table_stays(
    mmft: Call, photo_folder: Callable[..., Path], tmp_path: Path
) -> None:
    photos = photo_folder(per_class=2)
    table, rows = photos / "labels.csv", ["image,label,split"]
    rows += [f"{c}/00{k}.jpg,{c},train" for c in ("china", "flower") for k in range(2)]
    table.write_text("\n".join(rows))
    for command in ("split", "clean"):
        out = tmp_path / f"{command}.csv"
        ended = mmft("data", command, table, "--task", "image-cls", "-o", out)
        assert ended.code == 0, ended.err
        assert [r["label"] for r in read(out)] == ["china", "china", "flower", "flower"]
        assert read(out)[0]["image"] == "photos/china/000.jpg"
    assert {r["split"] for r in read(tmp_path / "clean.csv")} == {"train"}


def test_each_class_stays_in_train_though_groups_have_one_each(mmft: Call, tmp_path: Path) -> None:
    table = tmp_path / "owners.csv"
    rows = [f"remark {k} of somebody,c{k % 6},owner {k % 6}{k // 6 % 2}" for k in range(120)]
    table.write_text("text,label,owner\n" + "\n".join(rows) + "\n")
    for seed in range(5):
        out = tmp_path / f"{seed}.csv"
        ended = mmft("data", "split", table, "-o", out, "--group", "owner", "--seed", seed)
        assert ended.code == 0, ended.err
        divided = read(out)
        assert len({r["label"] for r in divided if r["split"] == "train"}) == 6
        assert {r["split"] for r in divided} == {"train", "val", "test"}
    ended = mmft("data", "split", table, "-o", tmp_path / "by-class.csv", "--group", "label")
    assert ended.code == 0, "whole classes may be set aside where that is what was asked for"


def test_a_row_of_no_group_is_named(mmft: Call, table: Path, tmp_path: Path) -> None:
    table.write_text(table.read_text().replace(",p6,", ",,", 1))
    for more in ((), ("--folds", "3")):
        ended = mmft(
            "data", "split", table, "-o", tmp_path / "out.csv", "--group", "patient", *more
        )
        assert ended.code == 2 and "Row 7: its cell in the group column" in ended.err


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("--group", "patiemt"), "Did you mean 'patient'"),
        (("--time", "label"), "Row 1: 'well' in 'label' is neither"),
        (("--val", "0.5", "--test", "0.5"), "leave nothing to train on"),
        (("--time", "day", "--folds", "3"), "--time cannot be combined"),
        (("--val", "0.2", "--folds", "3"), "--val and --test cannot be combined with --folds"),
        (("--label", "lable"), "Did you mean 'label'"),
        (("--label", "text"), "hardly repeat, so they are not classes"),
        (("--set", "dataset.label_column=label"), "Name the column of its classes with --label"),
        (("--task", "text-clss"), "no task named 'text-clss'"),
        (("--group", "label", "--val", "0.2"), "'label' has 2 groups, too few"),
        (("--seed", "-1"), "-1 is not in the range"),
        (("--group", "label", "--folds", "5"), "2 groups, too few for 5 folds"),
    ],
)
def test_mistakes_end_in_one_sentence(
    mmft: Call, table: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    ended = mmft("data", "split", table, "-o", tmp_path / "out.csv", *arguments)
    assert ended.code == 2 and said in " ".join(ended.err.split()), ended.err
    assert not (tmp_path / "out.csv").exists()


def test_nothing_is_written_over(mmft: Call, table: Path, tmp_path: Path) -> None:
    before, fold = table.read_text(), tmp_path / "out.fold-2.csv"
    fold.write_text("mine")
    for command, output, more in (
        ("split", table, ()),
        ("clean", table, ()),
        ("split", tmp_path / "out.csv", ("--folds", 3)),
    ):
        ended = mmft("data", command, table, "-o", output, *more)
        assert ended.code == 2 and "exists already" in ended.err, ended.err
    assert table.read_text() == before and fold.read_text() == "mine"
    assert not (tmp_path / "out.fold-1.csv").exists()


@pytest.mark.parametrize("command", ["split", "clean"])
def test_numbers_of_parquet_are_the_same_classes_as_csv(
    mmft: Call, tmp_path: Path, command: str
) -> None:
    labels = [None if k == 7 else (0.1, 0.7)[k % 2] for k in range(40)]
    for kind in ("float32", "float64"):
        file = tmp_path / f"{kind}.parquet"
        cells = np.array([np.nan if c is None else c for c in labels], dtype=kind)
        texts = [f"remark number {k} of these" for k in range(40)]
        parquet.write_table(pa.table({"text": texts, "label": pa.array(cells)}), file)
        out = tmp_path / f"{kind}.csv"
        ended = mmft("data", command, file, "--task", "text-cls", "-o", out)
        assert ended.code == 0, ended.err
        found = {row["label"] for row in read(out)}
        assert found in ({"0.1", "0.7"}, {"", "0.1", "0.7"}), found
