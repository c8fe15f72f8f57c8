"""Rows of several modalities: what is there, what is missing, what is bad."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmft_core.contracts import DatasetContext
from mmft_core.data.remarks import collecting
from mmft_core.data.splits import Joined
from mmft_core.errors import DataError, SampleError
from mmft_datasets.labelled_files import pack
from mmft_fusion.mixed_rows import Pictures
from mmft_tables.row_files import NamedFiles
from mmft_vision.pixel_range import PixelRange, find
from tests.audio.tools import write as write_recording
from tests.fusion.tools import Row, open_mixed, write_table
from tests.vision.tools import faults, sizes


def context(*modalities: str, partial: bool = True, target: str = "class") -> DatasetContext:
    return DatasetContext(target=target, modalities=modalities, partial=partial)


def test_rows_are_samples_of_the_modalities_that_are_asked_for(tmp_path: Path) -> None:
    path = write_table(tmp_path)
    dataset = open_mixed(path, context("image", "tabular"))
    assert sizes(dataset) == {"train": 36, "val": 12, "test": 12}
    assert dataset.info.classes == ("one", "zero")
    sample = pickle.loads(pickle.dumps(dataset.splits["train"]))[1]
    assert sample.id == "table.csv, row 2"
    assert sample.target == "one"
    assert set(sample.inputs) == {"image", "tabular"}
    assert sample.inputs["image"].size == (8, 8)
    assert sample.inputs["tabular"] == {"ink": 313.0, "shape": "straight"}
    assert set(open_mixed(path, context("text")).splits["val"][0].inputs) == {"text"}


def test_what_is_missing_is_none_and_only_where_it_may_be(tmp_path: Path) -> None:
    def empty(row: int, cells: Row) -> None:
        if row in (1, 2):
            cells["photo"] = ""
        if row == 2:
            cells["remark"] = cells["ink"] = cells["shape"] = ""

    path = write_table(tmp_path, change=empty)
    train = open_mixed(path, context("image", "text", "tabular")).splits["train"]
    assert train[0].inputs["image"] is None and train[0].inputs["text"]
    with pytest.raises(SampleError, match="row 2: it has no image and no text and no tabular"):
        train[1]
    whole = faults(open_mixed(path, context("image", "text", partial=False)))
    assert whole == {
        "table.csv, row 1": "it has no image",
        "table.csv, row 2": "it has no image and no text",
    }


FAULTS: dict[str, tuple[Callable[[Path, Row], Any], str]] = {
    "a picture that is not there": (lambda f, c: c.update(photo="no.png"), "there is no such file"),
    "a picture that is text": (
        lambda f, c: (f / c["photo"]).write_text("no picture"),
        "is not an image",
    ),
    "half a picture": (
        lambda f, c: (f / c["photo"]).write_bytes((f / c["photo"]).read_bytes()[:90]),
        "cannot be decoded",
    ),
    "no label": (lambda f, c: c.update(label=""), "it has no label"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_rows_are_told_by_their_number(tmp_path: Path, fault: str) -> None:
    spoil, reason = FAULTS[fault]

    def change(row: int, cells: Row) -> None:
        if row == 7:
            spoil(tmp_path, cells)

    dataset = open_mixed(write_table(tmp_path, change=change), context("image", "text"))
    found = faults(dataset)
    assert list(found) == ["table.csv, row 7"]
    assert reason in found["table.csv, row 7"]


def test_recordings_are_read_and_sized_and_checked(tmp_path: Path) -> None:
    for k in range(8):
        write_recording(tmp_path / f"{k}.wav", seconds=0.5 + k / 10)
    (tmp_path / "5.wav").write_bytes(b"RIFF")
    lines = ["sound,label,split"]
    lines += [f"{f'{k}.wav' if k != 3 else ''},{'ab'[k % 2]},train" for k in range(8)]
    (tmp_path / "table.csv").write_text("\n".join(lines))
    dataset = open_mixed(tmp_path / "table.csv", context("audio"), val=0)
    train = dataset.splits["train"]
    lengths = train.sizes()
    assert lengths is not None
    assert lengths[:4] == pytest.approx([0.5, 0.6, 0.7, 0.0])
    assert set(faults(dataset)) == {"table.csv, row 4", "table.csv, row 6"}


def test_numbers_to_predict_and_nothing_to_predict(tmp_path: Path) -> None:
    path = write_table(tmp_path)
    numbers = open_mixed(path, context("image", target="number"), target_column="ink")
    assert numbers.splits["train"].target(1) == 313
    assert "ink" not in numbers.options.columns
    nothing = open_mixed(path, context("image", "tabular", target="none"))
    assert nothing.splits["train"][0].target is None
    assert set(nothing.options.columns) == {"photo", "ink", "shape"}
    with pytest.raises(DataError, match="no column that is clearly the number to predict"):
        open_mixed(write_table(tmp_path / "b", columns=("photo", "ink")), context(target="number"))


def test_what_is_only_predicted_needs_no_targets_and_no_splits(tmp_path: Path) -> None:
    path = write_table(tmp_path, columns=("photo", "ink", "shape"))
    names = {"target_column": "label", "split_column": "split"}
    new = DatasetContext(target="none", modalities=("image", "tabular"), training=False)
    dataset = open_mixed(path, new, **names)
    sample = Joined(dataset.splits.values())[0]
    assert sample.target is None and set(sample.inputs["tabular"]) == {"ink", "shape"}
    with pytest.raises(DataError, match="no column 'label'"):
        open_mixed(path, context("image", "tabular"), **names)


def test_a_hundred_thousand_rows_take_little_memory(tmp_path: Path) -> None:
    """The rows themselves: pictures are opened when they are asked for."""
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    rows = "".join(
        f"{'' if k % 3 == 0 else 'a.png'},some words about row {k},{k / 7},{'ab'[k % 2]}\n"
        for k in range(100_000)
    )
    (tmp_path / "table.csv").write_text(f"photo,words,number,label\n{rows}")
    dataset = open_mixed(tmp_path / "table.csv", context("image", "text", "tabular"))
    everything = Joined(dataset.splits.values())
    assert len(everything) == 100_000
    lacking = sum(everything[k].inputs["image"] is None for k in range(3000))
    assert 900 < lacking < 1100
    assert len(pickle.dumps(dataset.splits["train"])) < 20e6


def test_pictures_of_16_bits_and_odd_ones_are_told_as_in_folders(tmp_path: Path) -> None:
    def deepen(row: int, cells: Row) -> None:
        noise = np.random.default_rng(row).integers(0, 4000, (8, 8)).astype(np.uint16)
        Image.fromarray(noise).save(tmp_path / cells["photo"])

    path = write_table(tmp_path, change=deepen)
    frames = [Image.new("L", (8, 8), grey) for grey in (0, 9)]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    train = open_mixed(path, context("image", "text")).splits["train"]
    assert find(train, "image") == PixelRange(0, 4095)
    assert find(train, "text") is None
    with collecting() as said:
        Pictures(NamedFiles(tmp_path, pack(["two.gif"]))).check(0, "row 1")
    assert said == ["several frames or pages, of which only the first is read"]
