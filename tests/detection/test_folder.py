"""COCO, YOLO and Pascal VOC folders as they are, and what is wrong with some."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from mmft_core.data import soundness
from mmft_core.errors import DataError
from tests.detection.tools import SIZES, WRITERS, opened, voc_xml, write_coco, write_yolo, written


def faults(path: Path, **options) -> list[str]:
    return [f"{f.id}: {f.reason}" for f in soundness.read(opened(path, **options)).faults]


@pytest.mark.parametrize("form", WRITERS)
def test_the_boxes_of_each_format_are_those_that_were_written(form: str, tmp_path: Path) -> None:
    WRITERS[form](tmp_path)
    dataset = opened(tmp_path)
    assert dataset.options.format == form
    assert set(dataset.info.classes) <= set(map(str, range(10)))
    assert faults(tmp_path) == []
    for name, count in SIZES.items():
        split = dataset.splits[name]
        found = {Path(split.sample_id(i)).name: split[i] for i in range(len(split))}
        assert len(found) == count
        for file, sample in written(name):
            assert [t["label"] for t in found[file].target] == [t["label"] for t in sample.target]
            for one, other in zip(found[file].target, sample.target, strict=True):
                assert one["box"] == pytest.approx(other["box"], abs=0.01)
            assert list(found[file].inputs["image"].getdata()) == list(
                sample.inputs["image"].getdata()
            )


def test_a_folder_without_splits_is_divided_and_pictures_without_boxes_are_counted(
    tmp_path: Path,
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    for number in range(20):
        Image.new("RGB", (40, 20)).save(tmp_path / "images" / f"{number}.png")
        if number:
            (tmp_path / "labels" / f"{number}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "labels" / "1.txt").write_text("1 0.1 0.1 0.9 0.1 0.9 0.6")
    dataset = opened(tmp_path)
    assert {name: len(split) for name, split in dataset.splits.items()} == {
        "train": 16,
        "val": 2,
        "test": 2,
    }
    notes = " | ".join(dataset.info.notes)
    assert "1 of 20 pictures of train without boxes" in notes
    assert "1 polygons were replaced by the boxes around them" in notes


def test_bad_boxes_of_coco_are_told_by_file_and_box(tmp_path: Path) -> None:
    write_coco(tmp_path)
    file = tmp_path / "annotations" / "instances_train.json"
    content = json.loads(file.read_text())
    boxes = [[90, 0, 20, 10], [5, 5, 0, 9], [50, 50, -9, 9], [1, 1, "x", 4]]
    for number, box in enumerate(boxes):
        thing = {"id": 900 + number, "image_id": 100 + number, "category_id": 1, "bbox": box}
        content["annotations"].insert(0, thing)
    content["annotations"] += [
        {"id": 910, "image_id": 104, "category_id": 2, "bbox": [1, 1, 9, 9]},
        {"id": 911, "image_id": 7, "category_id": 1, "bbox": [1, 1, 9, 9]},
    ]
    content["images"][5]["width"] = 95
    (tmp_path / "train" / "train6.png").unlink()
    file.write_text(json.dumps(content))
    told = faults(tmp_path)
    wanted = [
        ("train0.png", "its box 1 ('0') [90, 0, 110, 10] reaches outside"),
        ("train1.png", "its box 1 ('0') [5, 5, 5, 14] is empty"),
        ("train2.png", "its box 1 ('0') [50, 50, 41, 59] is inverted"),
        ("train3.png", "annotation 903 has no bbox of four numbers"),
        ("train4.png", "annotation 910 has the category id 2, which is not among"),
        ("train5.png", "for a picture of 95 x 96 pixels, but it has 96 x 96"),
        ("train6.png", "there is no such file"),
        ("image_id 7", "1 of the annotations refer to an image that the file does not list"),
    ]
    assert len(told) == len(wanted)
    for line, parts in zip(told, wanted, strict=True):
        assert all(part in line for part in parts), line
    notes = " | ".join(opened(tmp_path).info.notes)
    assert "category ids 1 to 19 became classes 0 to 9" in notes


def test_bad_labels_of_yolo_are_told_by_file_and_line(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    labels = tmp_path / "labels" / "train"
    (labels / "train0.txt").write_text("10 0.5 0.5 0.1 0.1")
    (labels / "train1.txt").write_text("1 0.5 0.5 0.1")
    (labels / "train2.txt").write_text("1 0.9 0.5 0.4 0.1")
    (labels / "lost.txt").write_text("1 0.5 0.5 0.1 0.1")
    told = faults(tmp_path)
    assert len(told) == 4
    assert "train0.txt, line 1: class 10 is not one of the 10" in told[0]
    assert "train1.txt, line 1: 3 numbers after the class" in told[1]
    assert "train2.png: its box 1 ('1')" in told[2] and "reaches outside" in told[2]
    assert "lost.txt: there is no picture for these labels" in told[3]


def test_voc_is_read_from_zero_where_a_box_begins_there_and_lost_pictures_are_told(
    tmp_path: Path,
) -> None:
    for part in ("Annotations", "JPEGImages"):
        (tmp_path / part).mkdir()
    for number, left in enumerate((-1, 9)):  # The writer adds one.
        Image.new("RGB", (96, 96)).save(tmp_path / "JPEGImages" / f"{number}.png")
        thing = {"label": "cat", "box": [left, 9, 40, 40]}
        (tmp_path / "Annotations" / f"{number}.xml").write_text(voc_xml(f"{number}.png", [thing]))
    (tmp_path / "Annotations" / "2.xml").write_text(voc_xml("2.png", []))
    split = opened(tmp_path, val=0, test=0).splits["train"]
    assert split.target(0)[0]["box"] == [0, 10, 40, 40]
    assert opened(tmp_path, val=0, test=0, voc_origin="one").splits["train"].target(1)[0][
        "box"
    ] == [9, 9, 40, 40]
    (told,) = faults(tmp_path, val=0, test=0)
    assert "2.xml: there is no picture 2.png for it" in told


def test_classes_that_train_lacks_are_told(tmp_path: Path) -> None:
    write_coco(tmp_path)
    file = tmp_path / "annotations" / "instances_train.json"
    content = json.loads(file.read_text())
    content["annotations"] = [a for a in content["annotations"] if a["category_id"] != 1]
    file.write_text(json.dumps(content))
    told = opened(tmp_path).info.warnings
    assert any("Class '0' has no box in train, so it is not learned" in line for line in told)


def test_what_is_no_such_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no box annotations"):
        opened(tmp_path)
    write_coco(tmp_path / "both")
    write_yolo(tmp_path / "both" / "more")
    with pytest.raises(DataError, match="several formats: coco, yolo"):
        opened(tmp_path / "both")
    assert len(opened(tmp_path / "both", format="coco").splits["train"]) == SIZES["train"]
