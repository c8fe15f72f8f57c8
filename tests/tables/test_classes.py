"""Labels: one class stays one, what is no class is told, and a model knows its own again."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import soundfile

from mmft_core import DatasetSpec, discover
from mmft_core.cli import main
from mmft_core.config.options import convert
from mmft_core.contracts import DatasetContext
from mmft_core.errors import DataError
from mmft_datasets.names import Lookup, identity, is_list
from tests.conftest import Finished
from tests.tables.tools import build, contents, inputs, readers, write
from tests.vision.tools import open_dataset

Mmft = Callable[..., Finished]


@pytest.fixture(params=readers())
def reader(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def classes_of(folder: Path, labels: list[Any], form: str = "csv") -> Any:
    texts = [f"the text of row {k}" for k in range(len(labels))]
    return contents("text-table", write(folder / f"t.{form}", {"text": texts, "label": labels}))


# --- lists --------------------------------------------------------------------------------------

LISTS: dict[str, list[Any]] = {
    "lists": [["a"], ["a", "b"]],
    "lists as text": ["['a', 'b']", "[]"],
    "lists of JSON": ['["a", "b"]', "[null]"],
    "records": [{"a": 1}, {"a": 0}],
    "records as text": ["{'a': 1}", "{'a': 0}"],
    "tuples as text": ["('a', 'b')", "('a',)"],
    "arrays as text": ["[0 1 1]", "[1. 0. 0.]"],
}


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("form", ["csv", "jsonl", "json", "parquet", "xlsx"])
def test_a_column_of_lists_is_no_column_of_classes(
    reader: str, tmp_path: Path, kind: str, form: str
) -> None:
    values = LISTS[kind] * 6
    if form in ("csv", "xlsx"):
        values = [str(value) for value in values]
    path = write(tmp_path / f"t.{form}", inputs(reader, tmp_path, 12) | {"label": values})
    with pytest.raises(DataError, match=r"Column 'label' of .* holds (list|dict) values.*row 1"):
        contents(reader, path)


def test_single_lists_among_classes_are_bad_rows(reader: str, tmp_path: Path) -> None:
    labels = ["a", "b", "['a', 'b']", "a", "[]", "b"]
    path = write(tmp_path / "t.csv", inputs(reader, tmp_path, 6) | {"label": labels})
    found = contents(reader, path)
    assert found.classes == ("a", "b")
    fault = "it has a list for its label, where one class is needed"
    assert found.targets == ["a", "b", fault, "a", fault, "b"]


def test_a_list_in_the_only_other_column_is_told(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    rows = [{"text": f"the text {k}", "tags": ["x"] if k % 2 else []} for k in range(8)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match="Column 'tags' of .* holds list values"):
        contents("text-table", path)


def test_texts_that_look_like_lists_are_texts(tmp_path: Path) -> None:
    texts = ["['a', 'b']", "[1, 2]", "{}", "(a)"]
    path = write(tmp_path / "t.csv", {"text": texts, "label": ["x", "y"] * 2})
    found = contents("text-table", path)
    assert found.inputs == texts and found.classes == ("x", "y")


@pytest.mark.parametrize(
    "text",
    [
        "[np.str_('a'), np.str_('b')]", "[nan, 1]", "array([1])", "np.array([1.5, nan])",
        "[datetime.date(2024, 1, 1)]", "frozenset({1})", "[-1.5, null]", "{'a': [true]}",
        "array([1, 2], dtype=int8)", "[inf, -inf]", "deque([1], maxlen=3)",
    ],
)  # fmt: skip
def test_texts_of_lists_are_no_classes(tmp_path: Path, text: str) -> None:
    assert is_list(text)
    found = classes_of(tmp_path, ["x", "y", "x", text] * 6)
    assert found.classes == ("x", "y") and "list" in str(found.targets[3])


@pytest.mark.parametrize(
    "name",
    [
        "f(x)",
        "set(a)",
        "set()",
        "[nan or 1]",
        "array(size)",
        "[CLS]",
        "(a)",
        "[a]",
        "{b}",
        "a [1]",
        ":)",
        "[1] or [2]",
        "(1)",
    ],
)
def test_names_in_brackets_are_classes(tmp_path: Path, name: str) -> None:
    assert not is_list(name)
    assert set(classes_of(tmp_path, [name, "other"] * 4).classes) == {name, "other"}


# --- doubts -------------------------------------------------------------------------------------

DOUBTS: dict[str, tuple[list[Any], str]] = {
    "case": (["Cat", "cat", "dog"] * 8, "'Cat' and 'cat' of column 'label' look alike"),
    "inner spaces": (["ice cream", "ice  cream", "x"] * 8, "'ice  cream' and 'ice cream'"),
    "hyphens": (["ice cream", "ice-cream", "ice_cream", "x"] * 8, "look alike"),
    "no width": (["a\u200bb", "ab", "x"] * 8, "look alike"),
    "look alike": (["ﬁne", "fine", "x"] * 8, "look alike"),
    "numbers": (["1", "01", "2"] * 8, "'01' and '1'|'1' and '01'"),
    "truth": (["True", "true", "other"] * 8, "'True' and 'true'"),
    "none": (["nan", "a", "b"] * 8, "The class 'nan' of column 'label' .* like a missing label"),
    "several": (["a", "b", "a|b"] * 8, r"'a\|b' of column 'label' is made of 'a' and 'b'"),
    "decimals": ([f"{k / 7:.4f}" for k in range(40)], "40 different numbers in column 'label'"),
    "whole numbers": ([str(k) for k in range(30)], "30 different numbers"),
    "texts": ([f"comment {k}" for k in range(30)], "has a class of its own"),
    "times": ([1704067200000 + 86400000 * (k % 3) for k in range(24)], "milliseconds since 1970"),
    "times before 1973": ([86400000 * (k % 3 - 1) for k in range(24)], "in milliseconds since"),
    "times with fractions": ([1704067200123 + k % 3 for k in range(24)], "in milliseconds since"),
    "days in seconds": ([1704067200 + 86400 * (k % 3) for k in range(24)], "times in seconds"),
    "nanoseconds": ([(1704067200 + k % 3) * 10**9 for k in range(24)], "in nanoseconds since"),
    "thousands": (["1,000", "1000", "x"] * 8, "'1,000' and '1000'|'1000' and '1,000'"),
    "exponents": (["1e3", "1000", "x"] * 8, "look alike"),
    "signs of numbers": (["+1", "1", "x"] * 8, "look alike"),
    "no nought": ([".5", "0.5", "x"] * 8, "look alike"),
    "words and digits": (["True", "1", "0"] * 8, "'True', '0' and '1' of .* are truth values"),
    "None": (["None", "a", "b"] * 8, "The class 'None' .* like a missing label"),
    "a question mark": (["?", "a", "b"] * 8, r"The class '\?' .* like a missing label"),
    "a hyphen": (["-", "a", "b"] * 8, "The class '-' .* like a missing label"),
    "not available": (["NA", "cat", "dog"] * 8, "The class 'NA' .* like a missing label"),
}


@pytest.mark.parametrize("kind", DOUBTS)
def test_what_is_doubtful_about_classes_is_told(tmp_path: Path, kind: str) -> None:
    labels, said = DOUBTS[kind]
    for form in ("csv", "parquet"):
        found = classes_of(tmp_path, labels, form)
        assert any(re.search(said, warning) for warning in found.warnings), found.warnings


@pytest.mark.parametrize(
    "labels",
    [
        ["yes", "no"] * 12,
        [str(k % 12) for k in range(120)],
        [str(k) for k in range(8)] * 2,
        [str(k) for k in range(15)],
        ["c", "c++", "c#"] * 8,
        ["-1", "1", "0"] * 8,
        ["1-2", "12", "1.2"] * 8,
        ["a,b", "c,d"] * 12,
        ["Z", "z" * 3] * 12,
        [f"{k % 5 / 2}" for k in range(100)],
        ["NA", "EU"] * 12,
        ["日本", "中国"] * 12,
        ["+", "-", "?"] * 12,
        ["1,5", "15", "0,15"] * 8,
        ["9007199254740993", "9007199254740992"] * 12,
        ["16777216", "16777217", "16777218"] * 8,
        [str(1704067201 + k % 3) for k in range(24)],
    ],
)
def test_sound_classes_are_not_doubted(tmp_path: Path, labels: list[str]) -> None:
    found = classes_of(tmp_path, labels)
    assert found.warnings == ()
    assert set(found.classes) == set(labels)


# --- one class under two names ------------------------------------------------------------------


def test_changed_labels_are_counted(tmp_path: Path) -> None:
    labels = [unicodedata.normalize("NFD", "größe"), "größe", " größe", "x"] * 3
    found = classes_of(tmp_path, labels)
    assert found.classes == ("größe", "x")
    (note,) = (note for note in found.notes if note.startswith("targets"))
    assert "spaces around 3 cells left out" in note
    assert "3 cells changed to composed Unicode (NFC)" in note
    found = classes_of(tmp_path, ["1.0", "2.0", ""] * 4)
    assert found.classes == ("1", "2")
    assert any("8 cells written as whole numbers" in note for note in found.notes)


@pytest.mark.parametrize("kind", ["image-folder", "audio-folder", "text-folder"])
def test_folders_of_one_name_in_two_forms_are_one_class(tmp_path: Path, kind: str) -> None:
    composed, other = "café", unicodedata.normalize("NFD", "café")
    for part, folder in (("train", composed), ("train", "tea"), ("test", other), ("test", "tea")):
        for k in range(3):
            _make_file(kind, tmp_path / "a" / part / folder / f"{part}{k}")
    dataset = open_dataset(kind, path=tmp_path / "a")
    assert dataset.info.classes == (composed, "tea")
    assert any("1 class folders changed to composed" in note for note in dataset.info.notes)
    test = dataset.splits["test"]
    assert [test.target(k) for k in range(6)] == [composed] * 3 + ["tea"] * 3
    test.check(0)
    for folder in (composed, other, "Tea", "tea"):
        for k in range(3):
            _make_file(kind, tmp_path / "b" / folder / f"{len(folder)}{k}")
    dataset = open_dataset(kind, path=tmp_path / "b", val=0.0, test=0.0)
    assert dataset.info.classes == ("Tea", composed, "tea")
    assert len(dataset.splits["train"]) == 12
    assert "'Tea' and 'tea' of folder b look alike" in dataset.info.warnings[0]


def _make_file(kind: str, stem: Path) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    if kind == "text-folder":
        stem.with_suffix(".txt").write_text(f"words of {stem.name}")
    elif kind == "audio-folder":
        soundfile.write(stem.with_suffix(".wav"), np.full(800, 0.1), 8000)
    else:
        from PIL import Image

        Image.new("L", (8, 8)).save(stem.with_suffix(".png"))


def test_names_are_found_by_what_is_the_same() -> None:
    find = Lookup(["1", "2.5", "True", "2024-05-17", "caf\u00e9", "1.1", "1.10", "007"])
    same = {
        "1.0": "1", "2.50": "2.5", "2.5000000001": "2.5", "true": "True", "1.1": "1.1",
        "2024-05-17T00:00:00": "2024-05-17", "cafe\u0301": "caf\u00e9", "1.10": "1.10",
    }  # fmt: skip
    names = ["1", "2.5", "True", "2024-05-17", "caf\u00e9", "1.1", "1.10", "007"]
    for name, other in same.items():
        assert find(name) == names.index(other), name
    for name in ("1.100", "7", "01", "Caf\u00e9", "2", "yes", ""):
        assert find(name) is None, name
    assert identity("2024-13-45 00:00") == "2024-13-45 00:00"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model of a CSV whose labels and categories are numbers beside gaps, and its table."""
    folder = tmp_path_factory.mktemp("run")
    frame = rows(40)
    frame.to_csv(folder / "rows.csv", index=False)
    arguments = (
        "run", "--task=fusion-cls", "--backbone=tabular=tabular-mlp", "--weights=none",
        "--set=engine.workers=0", "--set=engine.steps=30", "--set=dataset.columns.kind=category",
        "--set=dataset.target_column=grade", "--set=backbone.rare=1",
        "--dataset", folder / "rows.csv", "-o", folder / "run",
    )  # fmt: skip
    main([str(a) for a in arguments])
    return folder / "run", folder / "rows.csv"


def rows(count: int) -> pd.DataFrame:
    kinds = [None if k == 0 else float(k % 2) for k in range(count)]
    grades = [float(5 + k % 2) for k in range(count)]
    sizes = [k % 2 * 2.5 for k in range(count)]
    return pd.DataFrame({"kind": kinds, "size": sizes, "grade": grades})


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "json", "parquet", "xlsx", "csv.gz"])
def test_a_model_judges_the_same_rows_in_any_format_alike(
    finished: tuple[Path, Path], tmp_path: Path, mmft: Mmft, form: str
) -> None:
    run, table = finished
    frame = pd.read_csv(table)
    other = write(tmp_path / f"other.{form}", frame.to_dict("list"))
    expected = json.loads(mmft("eval", run, "--dataset", table, "--json").out)
    found = json.loads(mmft("eval", run, "--dataset", other, "--json").out)
    assert found == expected and found["accuracy"] == 1.0
    predicted = mmft("predict", run, "--dataset", other, "--format", "jsonl")
    labels = [json.loads(line)["label"] for line in predicted.out.splitlines()]
    assert labels == ["5", "6"] * 20


def test_a_model_finds_its_classes_where_a_column_writes_them_otherwise(
    finished: tuple[Path, Path], tmp_path: Path, mmft: Mmft
) -> None:
    run, _ = finished
    path = tmp_path / "few.csv"
    lines = ["kind,size,grade", "1.0,2.5,6.0", "1,2.5,6", "0,0.0,5.00", "0.0,0,5"]
    path.write_text("\n".join([*lines, "0,0,x"]))
    ended = mmft("eval", run, "--dataset", path, "--json")
    assert (
        ended.code == 2 and "few.csv, row 5: its class 'x' is not one of the model's" in ended.err
    )
    path.write_text("\n".join([*lines, "0.0,0,5.0", "0,0,"]))
    ended = mmft("eval", run, "--dataset", path, "--json", "--on-bad-sample", "skip")
    found = json.loads(ended.out)
    assert found["samples"] == 5 and found["accuracy"] == 1.0
    path.write_text("\n".join(["kind,size,grade", "1,2.5,6.0", "0,0,5.0", "0,0,unknown"]))
    ended = mmft("eval", run, "--dataset", path, "--json", "--on-bad-sample", "skip")
    assert "class '6.0' taken for the model's '6'" in ended.err


def test_a_run_tells_what_is_doubtful(tmp_path: Path, mmft: Mmft, tiny_backbone: None) -> None:
    path = write(
        tmp_path / "t.csv",
        inputs("image-table", tmp_path, 24) | {"label": ["Cat", "cat", "dog"] * 8},
    )
    run = (
        "run", "--task=image-cls", "--backbone=tiny", "--weights=none", "--set=engine.workers=0",
        "--set=engine.steps=1", "--dataset", path, "-o", tmp_path / "run",
    )  # fmt: skip
    ended = mmft(*run)
    said = "! The classes 'Cat' and 'cat' of column 'label' look alike"
    assert ended.code == 0 and said in ended.err + ended.out, ended.err
    assert (
        said[2:]
        in json.loads((tmp_path / "run" / "results.json").read_text())["dataset"]["warnings"][0]
    )
    for command in (("eval", tmp_path / "run", "--dataset", path), ("eval", tmp_path / "run")):
        assert said in mmft(*command).err
    path.write_text("0.png,cat\n1.png,dog\n2.png,cat\n3.png,dog\n4.png,dog\n")
    ended = mmft("predict", tmp_path / "run", "--dataset", path)
    assert "! The first row looks like data" in ended.err


# --- other readers ------------------------------------------------------------------------------


def test_common_voice_reads_quotation_marks_as_text(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    said = ['"Is this one', "plain", 'He said "no".', '"Whole."', 'ends with one"', "café"]
    for name in ("train", "test"):
        lines = ["client_id\tpath\tsentence"]
        for k, sentence in enumerate(said):
            lines.append(f"c{k % 2}\t{name}{k}.wav\t{sentence}")
            soundfile.write(tmp_path / "clips" / f"{name}{k}.wav", np.full(800, 0.1), 8000)
        (tmp_path / f"{name}.tsv").write_text("\r\n".join(lines) + "\r\n", encoding="utf-8")
    component = discover().get(DatasetSpec, "common-voice")
    options = convert({"path": str(tmp_path)}, component.options_type(), "dataset")
    dataset = component.build(options, DatasetContext(target="text"))
    for split in dataset.splits.values():
        assert [split.target(k) for k in range(len(split))] == said
    assert dataset.splits["train"].groups() == ["c0", "c1"] * 3


def saved(folder: Path, labels: list[Any], feature: Any = None) -> Path:
    texts = [f"t {k}" for k in range(len(labels))]
    frame = datasets.Dataset.from_dict({"text": texts, "label": labels})
    if feature is not None:
        frame = frame.cast_column("label", feature)
    datasets.DatasetDict({"train": frame, "test": frame}).save_to_disk(str(folder / "hub"))
    return folder / "hub"


def open_hub(path: Path) -> Any:
    component = discover().get(DatasetSpec, "hub-text")
    options = convert({"id": str(path), "val": 0.0}, component.options_type(), "dataset")
    return component.build(options, DatasetContext())


def test_labels_of_the_hub_are_the_same_classes(tmp_path: Path) -> None:
    labels = ["cafe\u0301", "caf\u00e9", "b", None] * 3
    dataset = open_hub(saved(tmp_path / "a", labels))
    assert dataset.info.classes == ("b", "caf\u00e9")
    assert dataset.splits["test"].target(0) == dataset.splits["train"].target(1) == "caf\u00e9"
    assert any("6 cells changed to composed Unicode" in note for note in dataset.info.notes)
    names = datasets.ClassLabel(names=["no", "yes", "never"])
    dataset = open_hub(saved(tmp_path / "b", [0, 1, -1, 1], names))
    assert dataset.info.classes == ("no", "yes", "never")
    dataset = open_hub(saved(tmp_path / "c", ["Cat", "cat"] * 3))
    assert "look alike" in dataset.info.warnings[0]
    with pytest.raises(DataError, match="Column 'label' holds .*list.* values"):
        open_hub(saved(tmp_path / "d", [["a"], ["a", "b"]]))
    with pytest.raises(DataError, match="fewer than two classes"):
        open_hub(saved(tmp_path / "e", ["['a']", "['a', 'b']"]))


def test_splits_and_groups_of_any_type(reader: str, tmp_path: Path) -> None:
    own = inputs(reader, tmp_path, 24) | {"label": ["a", "b"] * 12}
    parts = pd.Categorical([("train", "train", "val", "test")[k // 6] for k in range(24)])
    groups = [float(k // 6) for k in range(24)]
    for form in ("csv", "jsonl", "parquet", "xlsx"):
        path = write(tmp_path / f"t.{form}", own | {"split": parts})
        assert [len(v) for v in contents(reader, path).splits.values()] == [12, 6, 6]
        path = write(tmp_path / f"g.{form}", own | {"patient": groups})
        dataset = build(reader, path, group_column="patient", val=0.25, test=0.25)
        kept = [group for s in dataset.splits.values() for group in sorted(set(s.groups() or ()))]
        assert sorted(kept) == list("0123"), "each group is in one split"
