"""Tables of any content, read by functions of a plugin."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mmft_core.contracts import DatasetContext
from mmft_core.data import together
from mmft_core.errors import ConfigError, DataError, SampleError
from mmft_tables.table_dataset import table_dataset
from mmft_tables.table_options import TableOptions


def letter(row: Mapping[str, Any]) -> str:
    if not row["body"]:
        raise ValueError("the letter is empty")
    return f"{row['title']}: {row['body']}"


def table(folder: Path, rows: str) -> TableOptions:
    (folder / "letters.csv").write_text(rows, encoding="utf-8")
    return TableOptions(path=str(folder / "letters.csv"), group_column="author")


ROWS = "title,body,label,author\n" + "".join(
    f"t{n},text {n},{'good' if n % 2 else 'bad'},author {n // 4}\n" for n in range(40)
)
READ: dict[str, Any] = {"inputs": {"text": letter}, "columns": ("title", "body")}


def test_rows_become_samples_and_groups_stay_together(tmp_path: Path) -> None:
    dataset = table_dataset(table(tmp_path, ROWS), DatasetContext(), **READ)
    assert dataset.info.classes == ("bad", "good")
    homes: dict[str, set[str]] = {}
    for name, split in pickle.loads(pickle.dumps(dataset.splits)).items():
        for index in range(len(split)):
            sample = split[index]
            number = int(sample.inputs["text"].split()[-1])
            assert sample.target == ("good" if number % 2 else "bad")
            assert sample.id == f"letters.csv, row {number + 1}"
            homes.setdefault(f"author {number // 4}", set()).add(name)
    assert all(len(names) == 1 for names in homes.values())
    assert set(dataset.splits) == {"train", "val", "test"}


def test_a_row_that_cannot_be_used_is_told_by_its_number(tmp_path: Path) -> None:
    options = table(tmp_path, ROWS.replace("text 5,", ","))
    whole = together(table_dataset(options, DatasetContext(), **READ).splits.values())
    told = []
    for index in range(len(whole)):
        try:
            whole[index]
        except SampleError as error:
            told.append(str(error))
    assert told == ["letters.csv, row 6: the letter is empty."]


def test_targets_may_be_numbers(tmp_path: Path) -> None:
    rows = "title,body,value,author\na,b,1.5,x\nc,d,2,y\ne,f,many,z\n"
    context = DatasetContext(target="number", training=False)
    splits = table_dataset(table(tmp_path, rows), context, **READ).splits
    whole = together(splits.values())
    found, faults = {}, []
    for index in range(3):
        try:
            found[whole.sample_id(index)] = whole.target(index)
        except SampleError as error:
            faults.append(str(error))
    assert found == {"letters.csv, row 1": 1.5, "letters.csv, row 2": 2.0}
    assert faults == ["letters.csv, row 3: its target is not a number."]


def test_mistakes_are_told(tmp_path: Path) -> None:
    options = table(tmp_path, ROWS)
    with pytest.raises(DataError, match="has no column 'bodi'. Did you mean 'body'"):
        table_dataset(options, DatasetContext(), inputs={"text": letter}, columns=("bodi",))
    with pytest.raises(ConfigError, match="targets of the type pair"):
        table_dataset(options, DatasetContext(target="pair"), **READ)
