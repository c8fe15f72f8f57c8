"""Folders of pictures with boxes: COCO, YOLO and Pascal VOC, as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo, Origin, Sample, Split
from mmft_core.data import remark
from mmft_core.errors import DataError, SampleError
from mmft_core.utils import user_path
from mmft_datasets.set_aside import set_aside
from mmft_detection.boxes import fault_of, inside
from mmft_detection.options import DetectionFolderOptions
from mmft_vision.images import check_image, open_image

_UPRIGHT = {5, 6, 7, 8}
"""Values of EXIF's orientation with which width and height change places."""
_ORIENTATION = 0x0112


@dataclass
class Picture:
    """A picture as its annotations describe it.

    Attributes:
        path: None for annotations that belong to no picture.
        name: for messages; relative to the data set's folder.
        objects: (class name, box, whether it is a crowd). Of YOLO's, boxes are shares of the sides.
        size: width and height if the annotations give them, else None.
        fault: what is wrong with the annotations as a whole; "" for nothing.
    """

    path: Path | None
    name: str
    objects: list[tuple[str, tuple[float, float, float, float], bool]] = field(default_factory=list)
    size: tuple[int, int] | None = None
    fault: str = ""


@dataclass
class Found:
    """What a folder holds.

    Attributes:
        format: "COCO", "YOLO", "Pascal VOC".
        classes: in the order of their indices.
        splits: the pictures of each; only "train" if they are still to be divided.
        relative: whether boxes are shares of the sides.
        notes: how it was understood.
    """

    format: str
    classes: tuple[str, ...]
    splits: dict[str, list[Picture]]
    relative: bool = False
    notes: list[str] = field(default_factory=list)


class BoxedPictures(Split):
    """Picture files with boxes, held in arrays.

    Args:
        relative: whether boxes are shares of the pictures' sides.
    """

    def __init__(
        self, pictures: Sequence[Picture], classes: Sequence[str], *, relative: bool, targets: bool
    ) -> None:
        self.paths = [None if p.path is None else str(p.path) for p in pictures]
        self.names = [p.name for p in pictures]
        self.sizes_told = [p.size for p in pictures]
        self.faults = {i: p.fault for i, p in enumerate(pictures) if p.fault}
        self.classes, self.relative, self.targets = tuple(classes), relative, targets
        index = {name: k for k, name in enumerate(self.classes)}
        counts = [len(p.objects) for p in pictures]
        self.ends = np.cumsum(counts, dtype=np.int64)
        things = [thing for p in pictures for thing in p.objects]
        self.boxes = np.array([box for _, box, _ in things], np.float64).reshape(-1, 4)
        self.labels: npt.NDArray[np.int64] = np.array([index[n] for n, _, _ in things], np.int64)
        self.crowds: npt.NDArray[np.bool_] = np.array([many for _, _, many in things], np.bool_)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        sample_id = self.sample_id(index)
        image = self._open(index)
        if self.targets:
            self._check_boxes(index, image)
        size = _upright_size(image)
        return Sample({"image": image}, self._objects(index, size), sample_id)

    def target(self, index: int) -> list[dict[str, Any]] | None:
        size = _upright_size(self._open(index)) if self.relative and self.targets else None
        return self._objects(index, size)

    def sample_id(self, index: int) -> str:
        return self.names[index]

    def origin(self, index: int) -> Origin:
        path = self.paths[index]
        rows = self._rows(index)
        values = [
            self.names[index],
            self.boxes[rows],
            [self.classes[k] for k in self.labels[rows]] if self.targets else None,
        ]
        return Origin(values, () if path is None else (Path(path),), inputs=[])

    def check(self, index: int) -> None:
        """Check picture and boxes.

        Raises:
            SampleError: names the first box that cannot be used.
        """
        sample_id = self.sample_id(index)
        if index in self.faults:
            raise SampleError(sample_id, self.faults[index], kind="target")
        path = self.paths[index]
        assert path is not None
        check_image(Path(path), sample_id)
        if self.targets:
            with self._open(index) as image:
                self._check_boxes(index, image)

    def _check_boxes(self, index: int, image: Image.Image) -> None:
        sample_id, told = self.sample_id(index), self.sizes_told[index]
        width, height = _upright_size(image)
        if index in self.faults:
            raise SampleError(sample_id, self.faults[index], kind="target")
        if told is not None and told != (width, height):
            turned = "; it is turned by its EXIF orientation" if told == image.size else ""
            raise SampleError(
                sample_id,
                f"its annotation is for a picture of {told[0]} x {told[1]} pixels, but it has "
                f"{width} x {height}{turned}",
                kind="target",
            )
        for number, row in enumerate(range(*self._rows(index).indices(len(self.boxes))), start=1):
            box = self._box(row, (width, height))
            fault = fault_of(box, width, height)
            if fault:
                label = self.classes[self.labels[row]]
                reason = f"its box {number} ('{label}') {fault}"
                raise SampleError(sample_id, reason, kind="target")
            if inside(box, width, height) != box:
                remark("box that reaches up to one pixel beyond the picture, cut off at the edge")

    @cached_property
    def lacking(self) -> int:
        """How many pictures have no box."""
        return int((np.diff(self.ends, prepend=0) == 0).sum())

    def _rows(self, index: int) -> slice:
        return slice(int(self.ends[index - 1]) if index else 0, int(self.ends[index]))

    def _open(self, index: int) -> Image.Image:
        path = self.paths[index]
        if path is None:
            raise SampleError(self.names[index], self.faults[index], kind="target")
        return open_image(Path(path), self.names[index])

    def _box(self, row: int, size: tuple[int, int]) -> list[float]:
        left, top, right, bottom = self.boxes[row].tolist()
        if self.relative:
            width, height = size
            return [left * width, top * height, right * width, bottom * height]
        return [left, top, right, bottom]

    def _objects(self, index: int, size: tuple[int, int] | None) -> list[dict[str, Any]] | None:
        if not self.targets:
            return None
        size = size or self.sizes_told[index]
        objects = []
        for row in range(*self._rows(index).indices(len(self.boxes))):
            box = self.boxes[row].tolist() if size is None else self._box(row, size)
            if size is not None:
                box = inside(box, *size)
            thing = {"label": self.classes[self.labels[row]], "box": [round(e, 3) for e in box]}
            objects.append({**thing, "crowd": True} if self.crowds[row] else thing)
        return objects


def build(options: DetectionFolderOptions, context: DatasetContext) -> Dataset:
    """Read the annotations. Pictures are opened when they are asked for.

    Raises:
        DataError: there is no such folder, or nothing in it is understood.
    """
    from mmft_detection.formats import read

    root = user_path(options.path)
    if not root.is_dir():
        raise DataError(
            f"There is no folder {options.path or '(dataset.path is not set)'}.",
            hint="Give the folder that holds pictures and annotations: --dataset PATH",
        )
    found = read(root, options)
    if context.training and "train" not in found.splits:
        raise DataError(
            f"{root} has no pictures to train on, only {', '.join(found.splits)}.",
            hint="Name the folder or the annotation file of the training pictures 'train'.",
        )
    targets = context.target != "none"
    whole = {
        name: BoxedPictures(own, found.classes, relative=found.relative, targets=targets)
        for name, own in found.splits.items()
    }
    splits: dict[str, Split] = dict(whole)
    notes = [f"{found.format} annotations", *found.notes, *_counted(whole)]
    if set(whole) == {"train"} and context.training:
        shares = {"val": options.val, "test": options.test}
        # Pictures without boxes are divided in proportion.
        labels = (np.diff(whole["train"].ends, prepend=0) == 0).astype(np.int64)
        divided, told = set_aside(whole["train"], labels, shares, context.seed)
        splits, notes = dict(divided), [*notes, *(t.replace(", by class", "") for t in told)]
    return Dataset(
        info=DatasetInfo(
            name=root.name or str(root),
            classes=found.classes,
            source=str(root),
            notes=tuple(notes),
            warnings=tuple(_unlearned(whole)),
        ),
        splits=splits,
        options=replace(options, format=_NAMES[found.format]),
    )


_NAMES: Mapping[str, Any] = {"COCO": "coco", "YOLO": "yolo", "Pascal VOC": "voc"}


def describe(options: DetectionFolderOptions, context: DatasetContext) -> list[str]:
    """How the folder was understood, for `--dry-run`."""
    info = build(options, context).info
    return [f"{len(info.classes)} classes: {', '.join(info.classes[:20])}", *info.notes]


def _counted(splits: Mapping[str, BoxedPictures]) -> list[str]:
    """How many boxes there are, and how many pictures without any."""
    boxes = sum(len(split.boxes) for split in splits.values())
    notes = [f"{boxes:,} {'box' if boxes == 1 else 'boxes'}"]
    notes += [
        f"{split.lacking:,} of {len(split):,} pictures of {name} without boxes"
        for name, split in splits.items()
        if split.lacking
    ]
    crowds = sum(int(split.crowds.sum()) for split in splits.values())
    return [*notes, f"{crowds:,} crowd regions, not learned"] if crowds else notes


def _unlearned(splits: Mapping[str, BoxedPictures]) -> list[str]:
    """Sentences on classes that train lacks."""
    if "train" not in splits:
        return []
    counts = {name: Counter(split.labels[~split.crowds].tolist()) for name, split in splits.items()}
    classes, told = splits["train"].classes, []
    for index, label in enumerate(classes):
        if counts["train"][index]:
            continue
        where = [f"{name} has {own[index]}" for name, own in counts.items() if own[index]]
        if where:
            told.append(
                f"Class '{label}' has no box in train, so it is not learned, but "
                f"{', '.join(where)}."
            )
    silent = [
        label for k, label in enumerate(classes) if not any(own[k] for own in counts.values())
    ]
    if silent:
        named = ", ".join(silent[:5]) + (" ..." if len(silent) > 5 else "")
        told.append(f"{len(silent)} of {len(classes)} classes have no box at all: {named}.")
    return told


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of a picture as it is shown."""
    width, height = image.size
    turned = image.getexif().get(_ORIENTATION) in _UPRIGHT
    return (height, width) if turned else (width, height)
