"""detection-map is what pycocotools computes from files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mmft_core.contracts import DatasetInfo, MetricContext

COCO = pytest.importorskip("pycocotools.coco").COCO
COCOeval = pytest.importorskip("pycocotools.cocoeval").COCOeval

CLASSES = ("a", "b", "c", "never")


def boxes(count: int, generator: torch.Generator) -> Tensor:
    corner = torch.rand(count, 2, generator=generator) * 300
    return torch.cat([corner, corner + 8 + torch.rand(count, 2, generator=generator) * 120], 1)


def batches():
    """Three batches of four pictures with true boxes, some of them crowds, and found ones."""
    draw = torch.Generator().manual_seed(0)
    for _ in range(3):
        targets, predictions = [], {"boxes": [], "scores": [], "labels": []}
        for picture in range(4):
            count = picture * 2
            true = boxes(count, draw)
            labels = torch.randint(3, (count,), generator=draw)
            crowd = torch.rand(count, generator=draw) < 0.15
            targets.append({"boxes": true, "labels": labels, "crowd": crowd})
            near = true + torch.randn(count, 4, generator=draw) * 4
            found = torch.cat([near, boxes(10 - count, draw)])
            wrong = torch.randint(3, (10 - count,), generator=draw)
            scores = torch.rand(10, generator=draw)
            scores[-2:] = 0  # Nothing was found.
            for name, value in zip(
                predictions, (found, scores, torch.cat([labels, wrong])), strict=True
            ):
                predictions[name].append(value)
        yield {name: torch.stack(own) for name, own in predictions.items()}, targets


def written(folder: Path) -> tuple[Path, Path]:
    truth = {"images": [], "annotations": [], "categories": []}
    truth["categories"] = [{"id": k + 5, "name": name} for k, name in enumerate(CLASSES)]
    found = []
    for predictions, targets in batches():
        for i, target in enumerate(targets):
            key = len(truth["images"]) + 1
            truth["images"].append({"id": key})
            for box, label, crowd in zip(*target.values(), strict=True):
                x, y, right, bottom = box.tolist()
                own = {"bbox": [x, y, right - x, bottom - y], "iscrowd": int(crowd)}
                own |= {"id": len(truth["annotations"]) + 1, "image_id": key}
                own |= {"category_id": int(label) + 5, "area": (right - x) * (bottom - y)}
                truth["annotations"].append(own)
            for box, score, label in zip(*(p[i] for p in predictions.values()), strict=True):
                x, y, right, bottom = box.tolist()
                if score > 0:
                    own = {"image_id": key, "category_id": int(label) + 5, "score": float(score)}
                    found.append({**own, "bbox": [x, y, right - x, bottom - y]})
    paths = folder / "truth.json", folder / "found.json"
    for path, content in zip(paths, (truth, found), strict=True):
        path.write_text(json.dumps(content))
    return paths


def metric():
    from mmft_detection.metric import MeanAveragePrecision

    info = DatasetInfo(name="", classes=CLASSES)
    return MeanAveragePrecision(None, MetricContext(info=info))


def test_it_equals_pycocotools_on_files(tmp_path: Path) -> None:
    truth, found = written(tmp_path)
    coco = COCO(str(truth))
    wanted = COCOeval(coco, coco.loadRes(str(found)), "bbox")
    wanted.evaluate()
    wanted.accumulate()
    wanted.summarize()
    own = metric()
    for predictions, targets in batches():
        own.update(predictions, targets)
    values = own.compute()
    figures = [values[name] for name in ("", "ap50", "ap75", "recall")]
    assert figures == pytest.approx(wanted.stats[[0, 1, 2, 8]].tolist(), abs=1e-12)
    assert 0.2 < values[""] < 0.9
    for index in range(3):
        alone = COCOeval(coco, coco.loadRes(str(found)), "bbox")
        alone.params.catIds = [index + 5]
        alone.evaluate()
        alone.accumulate()
        alone.summarize()
        assert values["per-class"][index] == pytest.approx(alone.stats[0], abs=1e-12)
    assert values["per-class"][3] is None
    assert own.remarks() == ["undefined for 1 classes without boxes: never"]


def test_nothing_found_is_zero_and_nothing_to_find_is_undefined() -> None:
    own = metric()
    nothing = {"boxes": torch.zeros(1, 5, 4), "scores": torch.zeros(1, 5)}
    nothing["labels"] = torch.zeros(1, 5, dtype=torch.int64)
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    own.update(nothing, [{**none, "crowd": torch.zeros(0, dtype=torch.bool)}])
    assert own.compute()[""] is None
    one = {"boxes": torch.tensor([[1.0, 1, 9, 9]]), "labels": torch.tensor([0])}
    own.update(nothing, [{**one, "crowd": torch.tensor([False])}])
    assert own.compute()[""] == 0
