"""Objects to tensors, augmented together with their picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2

from mmft_core.contracts import TargetCodec, Tensors
from mmft_detection.boxes import Object
from mmft_detection.detector import PADDING, DetectionProcessor
from mmft_detection.options import DetectionOptions
from mmft_vision.augmentation_choice import may_be_mirrored
from mmft_vision.processing import to_rgb


class BoxCodec(TargetCodec):
    """Encodes objects as tensors, and augments those of a training sample with its picture."""

    def __init__(
        self,
        classes: Sequence[str],
        processor: DetectionProcessor,
        modality: str,
        options: DetectionOptions,
    ) -> None:
        self.classes, self.processor, self.modality = tuple(classes), processor, modality
        self.indices = {name: index for index, name in enumerate(self.classes)}
        self.augment = _augmentation(options, self.classes)

    def encode(self, target: Sequence[Object]) -> Tensors:
        """Give "boxes" (N, 4) in pixels of the picture, "labels" (N,) int64, "crowd" (N,) bool."""
        for thing in target:
            if thing["label"] not in self.indices:
                raise ValueError(f"its class {thing['label']!r} is not one that the model knows")
        boxes = [[float(edge) for edge in thing["box"]] for thing in target]
        return {
            "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            "labels": torch.tensor([self.indices[t["label"]] for t in target], dtype=torch.int64),
            "crowd": torch.tensor([bool(t.get("crowd")) for t in target], dtype=torch.bool),
        }

    def prepare(
        self, inputs: Mapping[str, Any], target: Any, *, train: bool
    ) -> tuple[dict[str, Tensors], Any]:
        """Prepare picture and objects; see `JointPreparation`.

        The target gains "learned": "boxes" in pixels of the prepared picture and "labels", of the
        objects that are left and are not crowds.
        """
        raw = inputs[self.modality]
        if target is None:
            return {self.modality: self.processor.prepare(raw, train=False)}, None
        truth = self.encode(target)
        boxes, labels = truth["boxes"][~truth["crowd"]], truth["labels"][~truth["crowd"]]
        if train and self.augment is not None:
            raw, boxes, labels = self._augmented(
                to_rgb(raw, self.processor.pixel_range), boxes, labels
            )
        prepared = self.processor.prepare(raw, train=False)
        learned = {"boxes": boxes * prepared["scale"].repeat(2), "labels": labels}
        return {self.modality: prepared}, {**truth, "learned": learned}

    def _augmented(
        self, image: Image.Image, boxes: torch.Tensor, labels: torch.Tensor
    ) -> tuple[Image.Image, torch.Tensor, torch.Tensor]:
        given = {
            "image": image,
            "boxes": tv_tensors.BoundingBoxes(
                boxes, format="XYXY", canvas_size=(image.height, image.width)
            ),
            "labels": labels,
        }
        assert self.augment is not None
        found = self.augment(given)
        return found["image"], found["boxes"].as_subclass(torch.Tensor), found["labels"]

    def collate(self, targets: Sequence[Any]) -> list[Any]:
        """A list, because pictures have different numbers of objects."""
        return list(targets)

    def inspect(self, target: Sequence[Object]) -> str | None:
        """Count what is not learned."""
        self.encode(target)
        crowds = any(thing.get("crowd") for thing in target)
        return "crowd regions, which are neither learned nor counted as missed" if crowds else None


def _augmentation(options: DetectionOptions, classes: Sequence[str]) -> v2.Transform | None:
    """Torchvision's transforms, which move boxes with their picture; None for no change."""
    steps: list[Any] = []
    if options.augment != "none":
        steps.append(v2.RandomPhotometricDistort(p=0.5))
        fill = {Image.Image: PADDING, "others": 0}
        steps.append(v2.RandomZoomOut(fill=fill, side_range=(1.0, 1.6), p=0.5))
    if options.augment == "strong":
        steps.append(_Crop())
    if may_be_mirrored(classes) if options.flip is None else options.flip:
        steps.append(v2.RandomHorizontalFlip(0.5))
    return v2.Compose([*steps, v2.SanitizeBoundingBoxes(min_size=1)]) if steps else None


class _Crop(v2.RandomIoUCrop):  # type: ignore[misc]
    """SSD's crop (Liu et al., 2015), except for pictures without boxes."""

    def forward(self, *inputs: Any) -> Any:
        return super().forward(*inputs) if len(inputs[0]["boxes"]) else inputs[0]
