"""Mean average precision, computed by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmft_core.contracts import Metric, MetricContext, MetricValue, Tensors


class MeanAveragePrecision(Metric):
    """COCO's mean average precision (Lin et al., 2014).

    Predictions and targets are as `mmft_detection.task.Detection` gives them. Values: "" is the
    mean over IoU 0.50 to 0.95 and classes, "ap50" and "ap75" are at one IoU, "recall" is the mean
    of what 100 boxes in each picture find, "per-class" has the first for each class.
    """

    def __init__(self, options: Any, context: MetricContext) -> None:
        self.classes = context.info.classes
        self.reset()

    def reset(self) -> None:
        self.pictures: list[tuple[np.ndarray, ...]] = []

    def update(self, predictions: Tensors, targets: Sequence[Tensors]) -> None:
        own = zip(*(predictions[n].cpu() for n in ("boxes", "scores", "labels")), strict=True)
        for (boxes, scores, labels), truth in zip(own, targets, strict=True):
            there = scores > 0
            arrays = (boxes[there], scores[there], labels[there])
            true = (truth["boxes"], truth["labels"], truth["crowd"])
            self.pictures.append(
                tuple(tensor.cpu().numpy().astype(np.float64) for tensor in (*arrays, *true))
            )

    def state(self) -> list[tuple[np.ndarray, ...]]:
        return self.pictures

    def merge(self, state: list[tuple[np.ndarray, ...]]) -> None:
        self.pictures += state

    def compute(self) -> dict[str, MetricValue]:
        evaluated = self._evaluated()
        # (IoU, recall, class, area, number of boxes); -1 where there is nothing to find.
        precision = evaluated.eval["precision"][:, :, :, 0, -1]
        recall = evaluated.eval["recall"][:, :, 0, -1]
        return {
            "": _mean(precision),
            "ap50": _mean(precision[0]),
            "ap75": _mean(precision[5]),
            "recall": _mean(recall),
            "per-class": [_mean(precision[:, :, k]) for k in range(len(self.classes))],
        }

    def remarks(self) -> Sequence[str]:
        true = {int(k) for picture in self.pictures for k in picture[4][picture[5] == 0]}
        absent = [name for k, name in enumerate(self.classes) if k not in true]
        if not absent:
            return ()
        named = ", ".join(absent[:5]) + (" ..." if len(absent) > 5 else "")
        return [f"undefined for {len(absent)} classes without boxes: {named}"]

    def _evaluated(self) -> COCOeval:
        truth: list[dict[str, Any]] = []
        found: list[np.ndarray] = []
        for number, picture in enumerate(self.pictures, start=1):
            boxes, scores, labels, true, classes, crowd = picture
            rows = np.column_stack([np.full(len(boxes), number), _by_size(boxes), scores, labels])
            found.append(rows)
            for box, label, many in zip(_by_size(true), classes, crowd, strict=True):
                truth.append(
                    {
                        "id": len(truth) + 1,
                        "image_id": number,
                        "category_id": int(label),
                        "bbox": box.tolist(),
                        "area": float(box[2] * box[3]),
                        "iscrowd": int(many),
                    }
                )
        coco = COCO()
        coco.dataset = {
            "images": [{"id": number + 1} for number in range(len(self.pictures))],
            "annotations": truth,
            "categories": [{"id": k, "name": name} for k, name in enumerate(self.classes)],
        }
        detections = np.concatenate(found) if found else np.zeros((0, 7))
        results = COCO()
        results.dataset = {**coco.dataset, "annotations": []}
        with contextlib.redirect_stdout(io.StringIO()):  # It prints its progress.
            coco.createIndex()
            results.createIndex()
            if len(detections):  # It does not load an empty list.
                results = coco.loadRes(detections)
            evaluation = COCOeval(coco, results, "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
        return evaluation


def _by_size(boxes: np.ndarray) -> np.ndarray:
    """Boxes by their corners (N, 4) as left, top, width and height."""
    boxes = boxes.reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)


def _mean(values: np.ndarray) -> float | None:
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else None
