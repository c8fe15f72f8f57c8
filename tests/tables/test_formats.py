"""The same rows come of every format, by every data set that is a table."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest

from mmft_core.errors import DataError
from tests.tables.tools import COUNT, FORMATS, Contents, contents, inputs, readers, write

LABELS = [("cat", "dog", "bird")[k % 3] for k in range(COUNT)]
PARTS = [("train", "train", "Train", "val", "test", "dev")[k % 6] for k in range(COUNT)]


@pytest.fixture(scope="module", params=readers())
def reader(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(reader: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp(reader)


@pytest.fixture(scope="module")
def own(reader: str, folder: Path) -> dict[str, list[Any]]:
    return inputs(reader, folder)


@pytest.fixture(scope="module")
def expected(reader: str, folder: Path, own: dict[str, list[Any]]) -> Contents:
    return contents(reader, write(folder / "plain.csv", own | {"label": LABELS, "split": PARTS}))


def test_the_readers_are_those_that_are_known() -> None:
    assert {"text-table", "image-table", "audio-table", "mixed-table"} <= set(readers())


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_rows(
    reader: str, folder: Path, own: dict[str, list[Any]], expected: Contents, form: str
) -> None:
    found = contents(
        reader, write(folder / f"rows.{form}", own | {"label": LABELS, "split": PARTS})
    )
    assert found.classes == expected.classes == ("bird", "cat", "dog")
    assert found.targets == expected.targets
    assert found.inputs == expected.inputs
    assert found.ids == [i.replace("plain.csv", f"rows.{form}") for i in expected.ids]
    assert {k: len(v) for k, v in found.splits.items()} == {"train": 12, "val": 8, "test": 4}
    assert found.warnings == ()


def labels_of_types() -> dict[str, Any]:
    """Labels of all types that data frames have, and the classes that they are."""
    days = [date(2024, 5, 17 + k % 3) for k in range(COUNT)]
    gap = [None if k == 5 else k % 3 for k in range(COUNT)]
    return {
        "int": ([k % 3 for k in range(COUNT)], ("0", "1", "2")),
        "int with a gap": (gap, ("0", "1", "2")),
        "nullable int": (pd.array(gap, dtype="Int64"), ("0", "1", "2")),
        "float": ([k % 3 / 2 for k in range(COUNT)], ("0.0", "0.5", "1.0")),
        "bool": ([k % 2 == 0 for k in range(COUNT)], ("False", "True")),
        "bool with a gap": ([None, *[k % 2 == 0 for k in range(COUNT - 1)]], ("False", "True")),
        "bool as spreadsheets write it": (
            [("TRUE", "false")[k % 2] for k in range(COUNT)],
            ("False", "True"),
        ),
        "date": (days, ("2024-05-17", "2024-05-18", "2024-05-19")),
        "day": (pd.to_datetime(days), ("2024-05-17", "2024-05-18", "2024-05-19")),
        "time": (
            [datetime(2024, 5, 17, 9 + k % 2, 30) for k in range(COUNT)],
            ("2024-05-17 09:30:00", "2024-05-17 10:30:00"),
        ),
        "decimal": ([Decimal("2.50") + k % 2 for k in range(COUNT)], ("2.50", "3.50")),
        "category": (
            pd.Categorical([("b", "a")[k % 2] for k in range(COUNT)], categories=["z", "b", "a"]),
            ("a", "b"),
        ),
        "codes": ([("007", "010")[k % 2] for k in range(COUNT)], ("007", "010")),
        "versions": ([("1.0", "1.10", "2.0")[k % 3] for k in range(COUNT)], ("1.0", "1.10", "2.0")),
        "words for none": ([("NA", "none")[k % 2] for k in range(COUNT)], ("NA", "none")),
        "accents": (
            [("cafe\u0301", "caf\u00e9", "th\u00e9")[k % 3] for k in range(COUNT)],
            ("caf\u00e9", "th\u00e9"),
        ),
        "spaces": ([(" a", "a ", "b")[k % 3] for k in range(COUNT)], ("a", "b")),
    }


@pytest.mark.parametrize("kind", labels_of_types())
def test_labels_of_every_type_are_the_same_classes(
    reader: str, folder: Path, own: dict[str, list[Any]], kind: str
) -> None:
    labels, classes = labels_of_types()[kind]
    forms = ("csv", "tsv", "jsonl", "json", "parquet", "xlsx")
    if kind == "decimal":
        forms = forms[:-1]  # Excel has no decimals but floats.
    found = [
        contents(reader, write(folder / f"{kind}.{f}".replace(" ", "-"), own | {"label": labels}))
        for f in forms
    ]
    assert {c.classes for c in found} == {classes}
    assert all(c.targets == found[0].targets for c in found)
    if "gap" in kind or kind == "nullable int":
        assert found[0].targets.count("it has no label") == 1


def test_names_in_a_parquet_schema_are_the_classes(
    reader: str, folder: Path, own: dict[str, list[Any]]
) -> None:
    frame = datasets.Dataset.from_dict(own | {"label": [-1, *[k % 2 for k in range(COUNT - 1)]]})
    named = frame.cast_column("label", datasets.ClassLabel(names=["no", "yes", "never"]))
    path = folder / "named.parquet"
    named.to_parquet(path)
    found = contents(reader, path)
    assert found.classes == ("no", "yes")
    assert found.targets[:3] == ["it has no label", "no", "yes"]


def test_a_number_of_no_class_in_a_parquet_schema_is_told(tmp_path: Path) -> None:
    features = datasets.Features(text=datasets.Value("string"), label=datasets.Value("int64"))
    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 7]}, features=features)
    path = tmp_path / "t.parquet"
    rows.to_parquet(path)
    import pyarrow.parquet as parquet

    table = parquet.read_table(path)
    content = table.schema.metadata[b"huggingface"].decode()
    value = '{"dtype": "int64", "_type": "Value"}'
    assert value in content
    other = content.replace(value, '{"names": ["x", "y"], "_type": "ClassLabel"}')
    parquet.write_table(table.replace_schema_metadata({b"huggingface": other.encode()}), path)
    with pytest.raises(
        DataError, match=r"t\.parquet, row 2: 7 in column 'label' is not the number of"
    ):
        contents("text-table", path)


def test_single_precision_is_written_as_short_as_csv_has_it(tmp_path: Path) -> None:
    labels = np.array([0.1, 0.7] * 4, dtype=np.float32)
    columns = {"text": [f"words {k}" for k in range(8)], "label": labels}
    forms = ("csv", "parquet")
    found = [contents("text-table", write(tmp_path / f"t.{form}", columns)) for form in forms]
    assert found[0].classes == found[1].classes == ("0.1", "0.7")


def test_kinds_of_values_in_one_json_column(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    labels = ["1", "true", '"x"', "2.5", "null"]
    path.write_text("".join(f'{{"text": "a b", "label": {v}}}\n' for v in labels))
    found = contents("text-table", path)
    assert found.targets == ["1", "True", "x", "2.5", "it has no label"]


def test_a_sheet_is_chosen_by_name(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    frame = pd.DataFrame({"text": ["one two", "three four"], "label": ["a", "b"]})
    with pd.ExcelWriter(path) as book:
        frame.to_excel(book, sheet_name="first", index=False)
        frame[::-1].to_excel(book, sheet_name="second", index=False)
    first = contents("text-table", path)
    assert first.inputs == ["one two", "three four"]
    assert "sheet 'first', not second" in first.notes
    assert contents("text-table", path, sheet="second").inputs == ["three four", "one two"]
    with pytest.raises(DataError, match="has no sheet 'secnd'. Did you mean 'second'"):
        contents("text-table", path, sheet="secnd")


def test_a_workbook_with_gaps_and_errors(tmp_path: Path) -> None:
    from openpyxl import Workbook

    book = Workbook()
    for row in (["text", "label"], ["one two", "a"], [], ["three", "#N/A"], ["four five", "b"]):
        book.active.append(row)
    book.active["B4"].data_type = "e"
    path = tmp_path / "book.xlsx"
    book.save(path)
    found = contents("text-table", path)
    assert found.ids == [f"book.xlsx, row {k}" for k in (1, 3, 4)]
    assert found.targets == ["a", "it has no label", "b"]
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match=r"book\.xlsx is not an Excel workbook that can be read"):
        contents("text-table", path)


JSON = {
    "records": '[{"text": "a b", "label": "x"}, {"text": "c d", "label": "y"}]',
    "columns by index": '{"text": {"0": "a b", "1": "c d"}, "label": {"0": "x", "1": "y"}}',
    "rows by index": '{"7": {"text": "a b", "label": "x"}, "9": {"text": "c d", "label": "y"}}',
    "rows by a name": '{"row a": {"text": "a b", "label": "x"}, '
    '"row b": {"text": "c d", "label": "y"}, "row c": {"text": "e f", "label": "x"}}',
    "split": '{"columns": ["text", "label"], "data": [["a b", "x"], ["c d", "y"]]}',
    "lists": '{"text": ["a b", "c d"], "label": ["x", "y"]}',
    "below a name": '{"version": "1", "data": [{"text": "a b", "label": "x"}, '
    '{"text": "c d", "label": "y"}]}',
    "lines": '{"text": "a b", "label": "x"}\n{"text": "c d", "label": "y"}\n',
    "indented": '[\n {\n  "text": "a b",\n  "label": "x"\n },\n {"text": "c d", "label": "y"}\n]\n',
    "with a mark": '\ufeff[{"text": "a b", "label": "x"}, {"text": "c d", "label": "y"}]',
}


@pytest.mark.parametrize("shape", JSON)
def test_shapes_of_json(tmp_path: Path, shape: str) -> None:
    path = tmp_path / "t.json"
    path.write_text(JSON[shape], encoding="utf-8")
    found = contents("text-table", path)
    assert (found.inputs[:2], found.targets[:2]) == (["a b", "c d"], ["x", "y"])
    assert found.ids == [
        f"t.json, row {k + 1}" for k in range(3 if shape == "rows by a name" else 2)
    ]


@pytest.mark.parametrize("orient", ["records", "columns", "index", "split", "table"])
def test_all_that_pandas_writes_as_json(tmp_path: Path, orient: Any) -> None:
    frame = pd.DataFrame({"text": ["a b", "c d", "e f"], "label": ["x", "y", "x"]})
    frame.to_json(tmp_path / "t.json", orient=orient)
    found = contents("text-table", tmp_path / "t.json")
    assert (found.inputs, found.targets) == (["a b", "c d", "e f"], ["x", "y", "x"])


@pytest.mark.parametrize(
    "content, said",
    [
        ("[1, 2]", "holds no table"),
        ('{"a": [1], "b": [1, 2]}', "holds no table"),
        ('[{"text": "a"},\n {"text" "b"}]', "line 2: it is not valid JSON"),
        ('[{"text": "a", "text": "b"}]', "'text' occurs twice in one record"),
        ("[]", "has no rows"),
    ],
)
def test_json_that_is_no_table(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "t.json"
    path.write_text(content)
    with pytest.raises(DataError, match=said):
        contents("text-table", path)


def test_a_file_of_another_kind_says_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.py").touch()
    with pytest.raises(DataError, match=r"a\.py is not a table\.") as caught:
        contents("text-table", tmp_path / "a.py")
    assert caught.value.hint == "Give a file ending in .csv, .tsv, .jsonl, .json or 6 others."


def test_blank_lines_of_jsonl_count_in_the_ids(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('\n{"text": "a b", "label": "x"}\n\n\n{"text": "c d", "label": "y"}\n')
    assert contents("text-table", path).ids == ["t.jsonl, row 2", "t.jsonl, row 5"]


def test_half_a_character_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a b", "label": "x"}\n{"text": "\\ud800", "label": "y"}\n')
    with pytest.raises(DataError, match=r"t\.jsonl, line 2: 'text' holds half of a character"):
        contents("text-table", path)


def test_a_table_that_does_not_fit_in_memory_is_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("mmft_tables.typed_columns._IN_MEMORY", 1000)
    columns = {
        "text": [f"text number {k}" for k in range(9000)],
        "label": [k % 2 for k in range(9000)],
    }
    for form in ("csv", "jsonl"):
        found = contents("text-table", write(tmp_path / f"t.{form}", columns))
        assert found.inputs == columns["text"]
        assert found.targets == [str(k) for k in columns["label"]]
    assert not list((tmp_path / "cache" / "mmft").iterdir())
