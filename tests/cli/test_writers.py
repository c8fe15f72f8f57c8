"""Structured records in the formats of `mmft predict`: nothing of them is lost."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from mmft_core.cli.writers import write
from mmft_core.inference.predictor import Prediction

BOXES = [{"label": "cat", "box": [1, 2, 3, 4]}, {"label": "dog", "box": [5, 6, 7, 8]}]


def written(form: str, *records: dict[str, Any]) -> str:
    stream = io.StringIO()
    predictions = (Prediction(source=f"{i}.png", record=r) for i, r in enumerate(records))
    write(predictions, form, stream)
    return stream.getvalue()


def rows(*records: dict[str, Any]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(written("csv", *records))))


@pytest.mark.parametrize(
    "record",
    [
        {"boxes": BOXES},
        {"label": "cat", "box": [9, 9, 9, 9], "boxes": BOXES},
        {"label": "bird", "boxes": [{"label": "cat"}, {"label": "dog"}]},
        {"label": "cat", "boxes": [{"label": "cat"}, {"label": "dog", "score": 0.5}]},
    ],
)
def test_a_list_of_records_is_written_whole(record: dict[str, Any]) -> None:
    (row,) = rows(record)
    assert json.loads(row["boxes"]) == record["boxes"]
    assert str(len(record["boxes"])) in written("table", record)


def test_alternatives_have_columns_and_lines_of_their_own() -> None:
    top = [{"label": "cat", "p": 0.75}, {"label": "dog", "p": 0.25}]
    (row,) = rows({**top[0], "top": top})
    assert (row["label"], row["label_2"], row["p_2"]) == ("cat", "dog", "0.25")
    assert "top" not in row and "dog" in written("table", {**top[0], "top": top})


def test_lists_may_differ_in_length_and_be_empty() -> None:
    found = rows({"boxes": BOXES[:1]}, {"boxes": []}, {"boxes": BOXES})
    assert [len(json.loads(row["boxes"])) for row in found] == [1, 0, 2]


def test_a_later_record_may_hold_more_than_the_first() -> None:
    found = rows({"label": "cat"}, {"label": "dog", "shares": [0.25, 0.5]}, {"shares": [1.0]})
    assert [row["label"] for row in found] == ["cat", "dog", ""]
    assert [(row["shares_1"], row["shares_2"]) for row in found] == [
        ("", ""),
        ("0.25", "0.5"),
        ("1.0", ""),
    ]


def test_labels_of_a_sample_are_one_cell_and_one_line() -> None:
    record = {"labels": ["cat", "dog"]}
    (row,) = rows(record)
    assert json.loads(row["labels"]) == ["cat", "dog"]
    assert "cat, dog" in written("table", record)
    assert written("text", record, {"labels": []}) == "cat, dog\n\n"
