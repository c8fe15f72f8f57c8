"""Label sets in tables: their forms, how they are divided, and every row that can be wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from mmft_core import DatasetSpec, discover
from mmft_core.config.options import convert
from mmft_core.contracts import Dataset, DatasetContext
from mmft_core.data.fingerprints import Fingerprints
from mmft_core.data.fold_choice import Folds
from mmft_core.data.folds import in_folds
from mmft_core.errors import ConfigError, DataError
from tests.vision.tools import faults

SETS = [("cat", "dog"), ("dog",), (), ("black bird", "cat"), ("dog", "black bird"), ("cat",)] * 5
CLASSES = ("black bird", "cat", "dog")


def opened(path: Path, *, training: bool = True, **options: Any) -> Dataset:
    component = discover().get(DatasetSpec, "text-table")
    typed = convert({"path": str(path), **options}, component.options_type(), "dataset")
    context = DatasetContext(target="labels", modalities=("text",), training=training)
    return component.build(typed, context)


def written(folder: Path, header: str, cells: Sequence[str]) -> Path:
    path = folder / "notes.csv"
    lines = [f"text,{header}", *(f"Note {k} is a text,{cell}" for k, cell in enumerate(cells))]
    path.write_text("\n".join(lines) + "\n")
    return path


def sets_of(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    return {
        split[k].inputs["text"]: split.target(k)
        for split in dataset.splits.values()
        for k in range(len(split))
    }


def _csv(cell: Callable[[Sequence[str]], str], header: str = "labels") -> Callable[[Path], Path]:
    return lambda folder: written(folder, header, [cell(own) for own in SETS])


def _jsonl(folder: Path) -> Path:
    path = folder / "notes.jsonl"
    rows = [{"text": f"Note {k} is a text", "tags": list(own)} for k, own in enumerate(SETS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _parquet(folder: Path) -> Path:
    path = folder / "notes.parquet"
    texts = [f"Note {k} is a text" for k in range(len(SETS))]
    columns = {"text": texts, "labels": [list(own) or None for own in SETS]}
    pyarrow.parquet.write_table(pa.table(columns), path)
    return path


FORMS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "semicolons": (_csv("; ".join), "separated by ';'"),
    "bars": (_csv("|".join), "separated by '|'"),
    "commas": (_csv(lambda own: f'"{", ".join(own)}"'), "separated by ','"),
    "json": (_csv(lambda own: '"' + json.dumps(own).replace('"', '""') + '"'), "lists"),
    "python": (_csv(lambda own: f'"{list(own)}"'), "lists"),
    "bits": (
        _csv(lambda own: ",".join(str(int(c in own)) for c in CLASSES), ",".join(CLASSES)),
        "columns of 0 and 1",
    ),
    "truths": (
        _csv(lambda own: ",".join(str(c in own).lower() for c in CLASSES), ",".join(CLASSES)),
        "columns of 0 and 1",
    ),
    "jsonl": (_jsonl, "lists"),
    "parquet": (_parquet, "lists"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_labels(form: str, tmp_path: Path) -> None:
    write, told = FORMS[form]
    dataset = opened(write(tmp_path))
    assert dataset.info.classes == CLASSES
    expected = {f"Note {k} is a text": tuple(sorted(own)) for k, own in enumerate(SETS)}
    assert sets_of(dataset) == expected
    notes = "; ".join(dataset.info.notes)
    assert told in notes and "5 of 30 rows have no label" in notes
    assert not dataset.info.warnings and not faults(dataset)


def test_options_say_which_columns_and_which_separator(tmp_path: Path) -> None:
    cells = ["a/b;c,1,0", "a,0,1"] * 10
    path = written(tmp_path, "labels,cat,dog", cells)
    assert opened(path).info.classes == ("a", "a/b", "c")
    assert opened(path, label_separator="/").info.classes == ("a", "b;c")
    assert opened(path, label_columns=["cat", "dog"]).info.classes == ("cat", "dog")
    with pytest.raises(DataError, match="no column 'cow'"):
        opened(path, label_columns=["cat", "cow"])
    with pytest.raises(ConfigError, match="label_separator"):
        opened(path, label_separator="")


def test_other_data_are_read_as_the_runs_own(tmp_path: Path) -> None:
    """So a column that is missing is no label that no row has."""
    own = opened(written(tmp_path, "cat,dog", ["1,0", "0,1"] * 10)).options
    assert own.label_columns == ("cat", "dog")
    other = written(tmp_path, "cat", ["1", "0"] * 10)
    with pytest.raises(DataError, match="no column 'dog'"):
        opened(other, training=False, label_columns=list(own.label_columns))
    assert opened(written(tmp_path, "labels", ["a|b", "b"] * 5)).options.label_separator == "|"


@pytest.mark.parametrize(
    ("header", "cells", "bad"),
    [
        ("labels", ["a;b"] * 20 + ["a;;b", "a;"], "one of its labels has an empty name"),
        ("a,b", ["1,0"] * 20 + ["1,2", "1,2"], "column 'b' is '2', neither 0 nor 1"),
        ("a,b", ["1,0"] * 20 + [",0", ",1"], "column 'a' is empty, neither 0 nor 1"),
        ("labels", ["['a', 'b']".join('""')] * 20 + ["\"['a', ['b']]\""] * 2, "not a name"),
    ],
)
def test_bad_rows_are_named(header: str, cells: list[str], bad: str, tmp_path: Path) -> None:
    dataset = opened(written(tmp_path, header, cells))
    found = faults(dataset)
    assert set(found) == {"notes.csv, row 21", "notes.csv, row 22"}
    assert all(bad in reason for reason in found.values())


def test_splits_have_the_rare_labels_in_proportion(tmp_path: Path) -> None:
    # The rare label stands beside the frequent one, whose rows alone would hide it.
    cells = ["often;seldom"] * 20 + ["often"] * 180
    dataset = opened(written(tmp_path, "labels", cells))
    counts = {
        name: Counter(c for k in range(len(split)) for c in split.target(k))["seldom"]
        for name, split in dataset.splits.items()
    }
    assert counts == {"train": 16, "val": 2, "test": 2}


def test_folds_have_the_rare_labels_in_proportion(tmp_path: Path) -> None:
    cells = ["often;seldom"] * 8 + ["often"] * 70 + [""] * 6
    dataset = opened(written(tmp_path, "labels", cells), val=0.0, test=0.0)
    for fold in range(1, 5):
        divided = in_folds(dataset, Folds(count=4, chosen=fold), seed=0)
        val = divided.splits["val"]
        assert sum("seldom" in val.target(k) for k in range(len(val))) == 2
        assert "by the rarest label" in divided.info.notes[-1]


def test_labels_that_train_lacks_are_told(tmp_path: Path) -> None:
    cells = ["a;b,train"] * 8 + ["a;c,val"] * 2 + ["b,test"] * 2
    (warning,) = opened(written(tmp_path, "labels,split", cells)).info.warnings
    assert "'c' is not in train" in warning and "in val, such as notes.csv, row 9" in warning


def test_one_label_is_not_enough(tmp_path: Path) -> None:
    path = written(tmp_path, "labels", ["a", ""] * 10)
    with pytest.raises(DataError, match="one label only, 'a'"):
        opened(path)
    assert opened(path, training=False).info.classes == ("a",)


def test_a_changed_label_changes_its_sample(tmp_path: Path) -> None:
    tables = []
    for cells in (["a;b", "a"] * 5, ["a;b", "b"] * 5):
        split = opened(written(tmp_path, "labels", cells), val=0.0, test=0.0).splits["train"]
        tables.append(Fingerprints(()).table(split, range(2)).to_pylist())
    assert tables[0][0] == tables[1][0] and tables[0][1] != tables[1][1]
