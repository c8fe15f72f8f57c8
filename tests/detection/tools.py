"""A few digit scenes, written in the formats that people have."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from mmft_core.contracts import Dataset, DatasetContext
from mmft_detection import digit_boxes, folder
from mmft_detection.options import DetectionFolderOptions, DigitBoxesOptions

CONTEXT = DatasetContext(target="boxes", modalities=("image",))
SIZES = {"train": 10, "val": 4, "test": 4}


@cache
def scenes() -> Dataset:
    return digit_boxes.build(DigitBoxesOptions(), CONTEXT)


def opened(path: Path, **options: Any) -> Dataset:
    return folder.build(DetectionFolderOptions(path=str(path), **options), CONTEXT)


def written(name: str) -> list[tuple[str, Any]]:
    """Some samples of a split with the names of their files."""
    split = scenes().splits[name]
    return [(f"{name}{i}.png", split[i]) for i in range(SIZES[name])]


def write_coco(root: Path) -> None:
    """annotations/instances_SPLIT.json, SPLIT/*.png; category ids have gaps."""
    (root / "annotations").mkdir(parents=True)
    for name in SIZES:
        (root / name).mkdir()
        images, annotations = [], []
        for key, (file, sample) in enumerate(written(name), start=100):
            sample.inputs["image"].save(root / name / file)
            images.append({"id": key, "file_name": file, "width": 96, "height": 96})
            for thing in sample.target:
                left, top, right, bottom = thing["box"]
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": key,
                        "category_id": 2 * int(thing["label"]) + 1,
                        "bbox": [left, top, right - left, bottom - top],
                        "iscrowd": 0,
                    }
                )
        categories = [{"id": 2 * k + 1, "name": str(k)} for k in range(10)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (root / "annotations" / f"instances_{name}.json").write_text(json.dumps(content))


def write_yolo(root: Path) -> None:
    """images/SPLIT/*.png, labels/SPLIT/*.txt, data.yaml."""
    for name in SIZES:
        for part in ("images", "labels"):
            (root / part / name).mkdir(parents=True)
        for file, sample in written(name):
            sample.inputs["image"].save(root / "images" / name / file)
            lines = []
            for thing in sample.target:
                left, top, right, bottom = (edge / 96 for edge in thing["box"])
                box = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
                lines.append(" ".join(map(str, (thing["label"], *box))))
            if lines:
                label = (root / "labels" / name / file).with_suffix(".txt")
                label.write_text("\n".join(lines))
    names = "".join(f"  {k}: '{k}'\n" for k in range(10))
    (root / "data.yaml").write_text(f"train: images/train\nnames:\n{names}")


def write_voc(root: Path) -> None:
    """Annotations/*.xml, JPEGImages/*.png, ImageSets/Main/*.txt; pixels are counted from one."""
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / part).mkdir(parents=True)
    for name in SIZES:
        for file, sample in written(name):
            sample.inputs["image"].save(root / "JPEGImages" / file)
            xml = (root / "Annotations" / file).with_suffix(".xml")
            xml.write_text(voc_xml(file, sample.target))
        stems = [Path(file).stem for file, _ in written(name)]
        (root / "ImageSets" / "Main" / f"{name}.txt").write_text("\n".join(stems))


def voc_xml(file: str, target: Sequence[Mapping[str, Any]]) -> str:
    objects = ""
    for thing in target:
        left, top, right, bottom = thing["box"]
        edges = {"xmin": left + 1, "ymin": top + 1, "xmax": right, "ymax": bottom}
        box = "".join(f"<{name}>{edge}</{name}>" for name, edge in edges.items())
        objects += f"<object><name>{thing['label']}</name><bndbox>{box}</bndbox></object>"
    size = "<size><width>96</width><height>96</height></size>"
    return f"<annotation><filename>{file}</filename>{size}{objects}</annotation>"


WRITERS = {"coco": write_coco, "yolo": write_yolo, "voc": write_voc}
