"""Tables of several modalities whose rows have any number of labels, and a run on one."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mmft_core.contracts import DatasetContext
from tests.conftest import Finished
from tests.fusion.tools import Row, kinds, open_mixed, write_table
from tests.vision.tools import faults, sizes

LABELS = ("blurred", "round")
INPUTS = ("photo", "remark", "ink", "split")


def labels_of(row: int, cells: Row) -> Sequence[str]:
    own = ["round"] if cells["shape"] == "round" else []
    return own + ["blurred"] * (row % 3 == 0)


def _bits(row: int, cells: Row) -> None:
    cells.update({name: int(name in labels_of(row, cells)) for name in LABELS})


def _cells(form: Callable[[Sequence[str]], str]) -> Callable[[int, Row], None]:
    return lambda row, cells: cells.update(tags=form(labels_of(row, cells)))


FORMS = {
    "separated": (_cells("; ".join), ("tags",), "separated by ';'"),
    "lists": (_cells(json.dumps), ("tags",), "lists"),
    "bits": (_bits, LABELS, "columns of 0 and 1"),
}

CONTEXT = DatasetContext(target="labels", modalities=("image", "text", "tabular"), partial=True)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_labels_and_no_inputs(form: str, tmp_path: Path) -> None:
    change, columns, told = FORMS[form]
    dataset = open_mixed(write_table(tmp_path, change=change, columns=INPUTS + columns), CONTEXT)
    assert dataset.info.classes == LABELS and told in "; ".join(dataset.info.notes)
    assert sizes(dataset) == {"train": 36, "val": 12, "test": 12} and not faults(dataset)
    assert kinds(dataset) == {"photo": "image", "remark": "text", "ink": "number"}
    train = dataset.splits["train"]
    # The digits 0 and 1 alternate for a while; row 3, the third of train, is the first blurred one.
    assert [train[k].target for k in range(3)] == [("round",), (), ("blurred", "round")]
    assert set(train[0].inputs) == {"image", "text", "tabular"}
    assert dataset.options.label_columns == (LABELS if form == "bits" else None)


def test_columns_of_0_and_1_can_be_inputs(tmp_path: Path) -> None:
    """If the user says so, or names the column of labels."""

    def both(row: int, cells: Row) -> None:
        _bits(row, cells)
        cells.update(sold=row % 2, found=";".join(labels_of(row, cells)))

    path = write_table(tmp_path, change=both, columns=(*INPUTS, *LABELS, "sold", "found"))
    told = open_mixed(path, CONTEXT, columns={"sold": "number", "found": "ignored"})
    assert told.info.classes == LABELS and kinds(told)["sold"] == "number"
    named = open_mixed(path, CONTEXT, target_column="found")
    assert named.info.classes == LABELS and {*LABELS, "sold"} < set(kinds(named))


def test_bad_rows_are_named_whatever_is_wrong_with_them(tmp_path: Path) -> None:
    def spoil(row: int, cells: Row) -> None:
        _bits(row, cells)
        if row == 4:
            cells["round"] = 2
        if row == 5:
            cells["photo"] = "gone.png"

    path = write_table(tmp_path, change=spoil, columns=(*INPUTS, *LABELS))
    found = faults(open_mixed(path, CONTEXT))
    assert set(found) == {"table.csv, row 4", "table.csv, row 5"}
    assert "column 'round' is '2', neither 0 nor 1" in found["table.csv, row 4"]


@pytest.mark.usefixtures("one_layer", "quick_latencies")
def test_a_run_learns_labels_from_all_modalities(
    tmp_path: Path, mmft: Callable[..., Finished]
) -> None:
    columns = (*INPUTS, "shape", *LABELS)
    data = write_table(tmp_path, 100, lacking=0.1, change=_bits, columns=columns)
    run = tmp_path / "run"
    parts = ("--backbone=text=minilm", "--backbone=tabular=tabular-mlp", "--weights=none")
    small = ("--set=backbone.size=tiny", "--set=backbone.vocabulary=300", "--set=engine.workers=0")
    more = (
        "--epochs=5",
        "--batch-size=8",
        "--on-bad-sample=skip",
        "--set=task.loss=focal",
        "-o",
        run,
    )
    ended = mmft("run", "--task=fusion-multilabel", *parts, *small, "--dataset", data, *more)
    assert ended.code == 0, ended.err
    test = json.loads((run / "results.json").read_text())["metrics"]["test"]
    assert test["multilabel-map/per-label"][LABELS.index("round")] > 0.8  # Its shape tells.
    assert mmft("export", run, "--format=onnx", "-o", run / "onnx").code == 0
    for model in (run, run / "onnx"):
        again = json.loads(mmft("eval", model, "--json").out)
        assert again["multilabel-map/macro"] == pytest.approx(
            test["multilabel-map/macro"], abs=1e-3
        )
    with (tmp_path / "new.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("remark", "ink", "shape"), ("This looks like a zero to me", 313, "round")]
        )
    (record,) = map(
        json.loads, mmft("predict", run, "--dataset", tmp_path / "new.csv").out.splitlines()
    )
    assert set(record["labels"]) <= set(LABELS) and record["top"]
