"""What the columns of a table are taken for, and what is said where that is wrong."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmft_core.contracts import DatasetContext
from mmft_core.data.splits import Joined
from mmft_core.errors import ConfigError, DataError
from mmft_tabular.columns import Columns
from tests.fusion.tools import kinds, open_mixed, write_table
from tests.vision.tools import faults


def write_column(folder: Path, cells: Sequence[Any], name: str = "x") -> Path:
    """A table with a column, one that is always text, and classes."""
    path = folder / "table.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([name, "words", "label"])
        for k, cell in enumerate(cells):
            writer.writerow([cell, f"the words of row {k} are these", "ab"[k % 2]])
    return path


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([f"p/{k}.jpg" for k in range(20)], "image"),
        ([f"{k}.PNG" if k % 3 else "" for k in range(20)], "image"),
        ([f"{k}.flac" for k in range(20)], "audio"),
        ([k / 7 for k in range(20)], "number"),
        ([k if k % 4 else "" for k in range(20)], "number"),
        ([-1e3 * k for k in range(20)], "number"),
        ([k / 7 if k % 10 else "inf" for k in range(1, 21)], "number"),
        ([k / 7 if k % 10 else "n/a" for k in range(1, 21)], "number"),
        ([k / 7 if k % 5 else "n/a" for k in range(1, 21)], "number"),
        ([k / 7 if k % 5 else "off" for k in range(1, 21)], "ignored"),
        ([k % 5 if k % 10 else "5+" for k in range(1, 41)], "category"),
        (["red", "green", "blue"] * 7, "category"),
        (["light green", "dark sea blue"] * 10, "category"),
        (["007", "011"] * 10, "category"),
        (["true", "false"] * 10, "category"),
        ([f"A sentence about number {k}, and more." for k in range(20)], "text"),
        (["A sentence that comes again and again."] * 10 + ["Another one, it seems."] * 10, "text"),
        ([f"c0de{k}" for k in range(20)], "ignored"),
        (["same"] * 20, "ignored"),
        ([""] * 20, "ignored"),
        ([3] * 20, "ignored"),
    ],
)
def test_kinds_are_told_from_the_cells(tmp_path: Path, cells: list[Any], kind: str) -> None:
    dataset = open_mixed(write_column(tmp_path, cells))
    assert kinds(dataset).get("x", "ignored") == kind
    assert any(f"x: {kind}" in note for note in dataset.info.notes)
    assert kinds(dataset)["words"] == "text"
    assert "label" not in kinds(dataset)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([k % 2 for k in range(1999)], "number"),
        (["no", "yes"] * 1000, "category"),
        ([5 if k == 1 else 3 for k in range(2500)], "number"),
        (["x.png" if k % 2 else "" for k in range(1999)], "image"),
        (["x" if k % 2 else "" for k in range(1999)], "ignored"),
    ],
)
def test_rows_between_those_looked_at_count(tmp_path: Path, cells: list[Any], kind: str) -> None:
    dataset = open_mixed(write_column(tmp_path, cells))
    assert kinds(dataset).get("x", "ignored") == kind
    constant = any("constant, so not used: x" in note for note in dataset.info.notes)
    assert constant == (kind == "ignored")


def test_columns_of_any_type_are_looked_at_whole(tmp_path: Path) -> None:
    columns = {
        "nothing": pa.nulls(20),
        "name": pa.array(["a", "b"] * 10).dictionary_encode(),
        "truth": pa.array([True, False] * 10),
        "same": pa.array([Decimal("1.5")] * 20),
        "words": [f"the words of row {k} are these" for k in range(20)],
        "label": ["a", "b"] * 10,
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    dataset = open_mixed(tmp_path / "t.parquet")
    assert kinds(dataset) == {"name": "category", "truth": "category", "words": "text"}
    assert "constant, so not used: nothing, same" in dataset.info.notes


def test_a_key_has_another_value_in_every_row_of_the_table(tmp_path: Path) -> None:
    for cells, key in ((list(range(1999)), True), ([k - k % 2 for k in range(1999)], False)):
        dataset = open_mixed(write_column(tmp_path, cells, "id"))
        assert ("id" in kinds(dataset)) is not key
        assert any("like keys: id" in note for note in dataset.info.notes) is key


def test_a_running_number_is_a_key_by_its_name_alone(tmp_path: Path) -> None:
    for name, kind in (("user_id", "ignored"), ("id", "ignored"), ("width", "number")):
        dataset = open_mixed(write_column(tmp_path, range(20), name))
        assert kinds(dataset).get(name, "ignored") == kind


def test_the_user_has_the_last_word(tmp_path: Path) -> None:
    path = write_column(tmp_path, ["007", "011"] * 10)
    dataset = open_mixed(path, columns={"x": "number", "words": "ignored"})
    assert kinds(dataset) == {"x": "number"}
    assert dataset.splits["train"].input(0, "tabular") in ({"x": 7.0}, {"x": 11.0})


def test_cells_that_are_lists_are_left_out_by_name(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    rows = [{"x": [1, 2], "n": k / 2, "label": "ab"[k % 2]} for k in range(20)]
    path.write_text("\n".join(map(json.dumps, rows)))
    dataset = open_mixed(path)
    assert kinds(dataset) == {"n": "number"}
    assert "x: ignored (its cells are lists" in dataset.info.notes[0]


def test_a_column_that_is_named_and_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no column 'word', .* Did you mean 'words'"):
        open_mixed(write_column(tmp_path, range(20)), columns={"word": "text"})


@pytest.mark.parametrize("cell", ["three", "inf", "-Infinity", "1,5"])
def test_a_cell_that_is_no_number_is_told_by_its_row(tmp_path: Path, cell: str) -> None:
    """It neither makes its column another one, nor comes into means and deviations."""
    path = write_column(tmp_path, [k / 7 if k != 2 else cell for k in range(40)])
    context = DatasetContext(modalities=("tabular",), partial=True)
    dataset = open_mixed(path, context)
    assert kinds(dataset) == {"x": "number"}
    (told,) = faults(dataset).items()
    assert told[0] == "table.csv, row 3"
    assert f"{cell!r} in column 'x' is not a number" in told[1]
    assert "dataset.columns.x=category" in told[1]
    columns = Columns.of(Joined(dataset.splits.values()), rare=1)
    assert columns.numbers["x"][0] == pytest.approx(sum(k / 7 for k in range(40) if k != 2) / 39)


@pytest.mark.parametrize("word", ["NA", "n/a", "NaN", "null", "None"])
def test_words_for_nothing_are_gaps_in_a_column_of_numbers(tmp_path: Path, word: str) -> None:
    path = write_column(tmp_path, [k / 7 if k % 4 else word for k in range(40)])
    dataset = open_mixed(path, DatasetContext(modalities=("tabular",), partial=True))
    assert kinds(dataset) == {"x": "number"}
    assert all(
        "it has no tabular" in reason for reason in faults(dataset).values()
    )  # Those rows have nothing else.


def test_several_columns_of_pictures_are_not_chosen_from(tmp_path: Path) -> None:
    def add(row: int, cells: dict[str, Any]) -> None:
        cells["second"] = cells["photo"]

    columns = ("photo", "second", "label")
    path = write_table(tmp_path, change=add, columns=columns)
    with pytest.raises(DataError, match="several columns of kind image: photo, second") as caught:
        open_mixed(path)
    assert "dataset.columns.second=ignored" in (caught.value.hint or "")
    assert kinds(open_mixed(path, columns={"second": "ignored"})) == {"photo": "image"}


def test_a_modality_without_a_column_is_an_error_that_shows_the_guesses(tmp_path: Path) -> None:
    context = DatasetContext(modalities=("image", "audio"), partial=True)
    with pytest.raises(DataError, match=r"no column of kind audio.*photo: image.*ink: number"):
        open_mixed(write_table(tmp_path), context)


def test_several_columns_of_texts_are_joined_under_their_names(tmp_path: Path) -> None:
    path = write_column(tmp_path, [f"A title of number {k}" if k else "" for k in range(20)])
    split = open_mixed(path, val=0, test=0).splits["train"]
    assert split.input(0, "text") == "words: the words of row 0 are these"
    assert split.input(1, "text") == "x: A title of number 1\nwords: the words of row 1 are these"


def test_other_data_are_read_as_the_first_were(tmp_path: Path) -> None:
    """Of few rows a guess would be another one."""
    options = open_mixed(write_table(tmp_path / "a")).options
    few = write_table(tmp_path / "b", count=2)
    context = DatasetContext(target="none", training=False, partial=True)
    dataset = open_mixed(few, context, columns=options.columns, others=options.others)
    assert kinds(dataset) == kinds(open_mixed(tmp_path / "a" / "table.csv"))
