"""Object detection: whichever detector finds the boxes, they are scored, listed and drawn here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import box_iou

from mmft_core.contracts import Batch, Graph, Outputs, Preview, Task, TaskContext, Tensors
from mmft_core.errors import IncompatibleError
from mmft_detection.codec import BoxCodec
from mmft_detection.detector import DetectionProcessor, Detector
from mmft_detection.drawing import drawn
from mmft_detection.options import DetectionOptions


class Detection(Task):
    """Finds a box and a class for each object.

    Predictions are "boxes" (B, K, 4), edges in pixels of the original picture, "scores" (B, K),
    0 behind the last object, and "labels" (B, K). Targets are what `BoxCodec` encodes.
    """

    reads = ()

    def __init__(self, options: DetectionOptions, context: TaskContext) -> None:
        super().__init__()
        self.backbones = nn.ModuleDict(dict(context.backbones))
        self.modality, self.min_score = "image", options.min_score
        self.classes = context.info.classes
        processor = self.detector.processor
        assert isinstance(processor, DetectionProcessor)
        self.codec = BoxCodec(self.classes, processor, self.modality, options)
        if self.codec.augment is not None:
            self.augments = "pictures change with their boxes (task.augment, task.flip)"

    @property
    def detector(self) -> Detector:
        found = self.backbone("image")
        assert isinstance(found, Detector)
        return found

    def forward(self, batch: Batch) -> Outputs:
        inputs = batch.inputs[self.modality]
        learned = None if batch.targets is None else [own["learned"] for own in batch.targets]
        found = self.detector.detect(inputs, learned)
        if self.training:
            return Outputs(found.loss)
        assert found.boxes is not None and found.scores is not None and found.labels is not None
        extent = inputs["extent"].repeat(1, 2)[:, None]
        boxes = found.boxes.float().clamp(min=0).minimum(extent)
        return Outputs(
            found.loss,
            {
                "boxes": boxes / inputs["scale"].repeat(1, 2)[:, None],
                "scores": found.scores.float(),
                "labels": found.labels,
            },
        )

    def decode(self, predictions: Tensors, top_k: int = 1) -> list[dict[str, Any]]:
        """List the objects of at least `min_score`, the surest first."""
        rows = zip(*(predictions[n].tolist() for n in ("boxes", "scores", "labels")), strict=True)
        return [self._record(*own) for own in rows]

    def _record(
        self, boxes: list[list[float]], scores: list[float], labels: list[int]
    ) -> dict[str, Any]:
        objects: list[dict[str, Any]] = [
            {
                "label": self.classes[label],
                "score": round(score, 6),
                "box": [round(edge, 2) for edge in box],
            }
            for box, score, label in zip(boxes, scores, labels, strict=True)
            if score > 0 and score >= self.min_score
        ]
        objects.sort(key=lambda thing: thing["score"], reverse=True)
        return {"labels": [thing["label"] for thing in objects], "objects": objects}

    def rank(self, predictions: Tensors, targets: Sequence[Tensors]) -> dict[str, Tensor]:
        """Score pictures by how many objects are missed, made up or of the wrong class."""
        own = zip(*(predictions[n].cpu() for n in ("boxes", "scores", "labels")), strict=True)
        wrong = [
            _errors(boxes, scores, labels, self.min_score, truth)
            for (boxes, scores, labels), truth in zip(own, targets, strict=True)
        ]
        return {"Most wrong": torch.tensor(wrong, dtype=torch.float32)}

    def show(
        self, inputs: Mapping[str, Any], record: Mapping[str, Any], target: Any
    ) -> Mapping[str, Preview]:
        """Draw true and predicted boxes onto the picture."""
        raw = inputs[self.modality]
        if raw is None:
            return {}
        pixel_range = self.processors[self.modality].pixel_range  # type: ignore[attr-defined]
        return {self.modality: drawn(raw, record.get("objects", ()), target, pixel_range)}

    def graphs(self, batch: Batch) -> Sequence[Graph]:
        if self.detector.no_graph:
            raise IncompatibleError(
                f"This detector cannot be exported: {self.detector.no_graph}.",
                hint="`mmft predict` and `mmft serve` use the run directory; rt-detr-r18, "
                "rt-detr-r50 and d-fine-l can be exported.",
            )
        return super().graphs(batch)

    def alike(self, predictions: Tensors, others: Tensors) -> list[float]:
        """The share of each picture's objects that both have; see `Comparable`.

        Which of two equally sure boxes comes first, and whether the last one is among those that
        are kept, is decided by the last bit of their scores.
        """
        rows = zip(*(p[n] for p in (predictions, others) for n in _NAMES), strict=True)
        return [_alike(own[:3], own[3:]) for own in rows]


_NAMES = ("boxes", "scores", "labels")

_SCORE, _EDGE = 1e-3, 0.5
"""Largest difference of the scores, and of edges in pixels, of two boxes that are the same."""


def _alike(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """The share of the objects of either that the other has as well; 1 if neither has any.

    Args:
        one, other: boxes (K, 4), scores (K,) and labels (K,).
    """
    sides = [[tensor[own[1] > 0].cpu() for tensor in own] for own in (one, other)]
    (boxes, scores, labels), (their_boxes, their_scores, their_labels) = sides
    if not len(boxes) or not len(their_boxes):
        return float(len(boxes) == len(their_boxes))
    same = (
        (labels[:, None] == their_labels)
        & ((scores[:, None] - their_scores).abs() <= _SCORE)
        & ((boxes[:, None] - their_boxes).abs().amax(-1) <= _EDGE)
    )
    shared = int(same.any(1).sum() + same.any(0).sum())
    return shared / (len(boxes) + len(their_boxes))


def _errors(
    boxes: Tensor, scores: Tensor, labels: Tensor, min_score: float, truth: Tensors
) -> float:
    """1 - F1 of the listed objects, matched at an IoU of 0.5 and more, the surest first.

    What lies in a crowd region does not count.
    """
    listed = (scores > 0) & (scores >= min_score)
    boxes, labels = boxes[listed], labels[listed]
    own = {name: truth[name].cpu() for name in ("boxes", "labels", "crowd")}
    free = (~own["crowd"]).clone()
    right, excused, total = 0, 0, int(free.sum())
    overlaps = box_iou(boxes, own["boxes"])
    for row, label in zip(overlaps, labels, strict=True):
        same = (own["labels"] == label) & (row >= 0.5)
        candidates = same & free
        if candidates.any():
            free[int((row * candidates).argmax())] = False
            right += 1
        elif (same & own["crowd"]).any():
            excused += 1
    counted = len(boxes) - excused + total
    return 0.0 if counted == 0 else 1 - 2 * right / counted
