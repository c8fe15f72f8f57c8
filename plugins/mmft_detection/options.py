"""The options of the detection components. No torch here: `mmft plugins show` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from mmft_datasets.split_options import SplitOptions
from mmft_vision.options import PixelOptions

Side = Annotated[int, Meta(ge=32, multiple_of=32)]


@dataclass(frozen=True, kw_only=True)
class DetectionOptions:
    """Options of `detection`."""

    augment: Annotated[
        Literal["none", "light", "strong"],
        Meta(
            description="Augmentation of training pictures together with their boxes: light "
            "changes colours and scale; strong also crops as SSD does (Liu et al., 2015)."
        ),
    ] = "light"
    flip: Annotated[
        bool | None,
        Meta(
            description="Mirror training pictures and boxes at random; unset does so unless the "
            "class names are numbers or single letters, or differ in left and right."
        ),
    ] = None
    min_score: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Minimum score of the objects that predictions, reports and the server "
            "list. Metrics use all detections.",
        ),
    ] = 0.5


@dataclass(frozen=True, kw_only=True)
class DetectorOptions(PixelOptions):
    """Options that all detectors share."""

    image_size: Annotated[
        Side,
        Meta(
            description="Side of the square that pictures are scaled to, in pixels; a multiple of "
            "32. Detectors that keep the aspect ratio pad the rest of the square."
        ),
    ] = 640
    max_objects: Annotated[
        int, Meta(ge=1, le=1000, description="Maximum number of objects in a picture.")
    ] = 100


@dataclass(frozen=True, kw_only=True)
class TorchvisionDetectorOptions(DetectorOptions):
    """Options of torchvision's detectors."""

    image_size: Annotated[
        Side,
        Meta(
            description="Side of the square that pictures are scaled to, in pixels; a multiple of "
            "32. Detectors that keep the aspect ratio pad the rest of the square."
        ),
    ] = 800
    freeze_norm: Annotated[
        bool | None,
        Meta(
            description="Freeze the statistics of batch normalization; unset does so for published "
            "weights, because small batches give poor statistics."
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class TransformersDetectorOptions(DetectorOptions):
    """Options of transformers' detectors."""

    size: Annotated[
        Literal["published", "tiny"],
        Meta(description="Size of a network that starts from random weights."),
    ] = "published"


@dataclass(frozen=True, kw_only=True)
class DigitBoxesOptions:
    """Options of `detection-digits`."""

    samples: Annotated[
        Annotated[int, Meta(ge=1, le=1500)] | None,
        Meta(description="Number of training scenes; unset uses all 1,500."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class DetectionFolderOptions(SplitOptions):
    """Options of `detection-folder`."""

    path: Annotated[str, Meta(description="Path of the folder.")] = ""
    format: Annotated[
        Literal["auto", "coco", "yolo", "voc"],
        Meta(description="How boxes are stored; auto detects it from the files."),
    ] = "auto"
    images: Annotated[
        str | None,
        Meta(
            description="Folder of the pictures, relative to the path; unset looks where the "
            "format usually has them."
        ),
    ] = None
    annotations: Annotated[
        str | None,
        Meta(
            description="File or folder of the annotations, relative to the path: a JSON file or "
            "a folder of them (COCO), a folder of text files (YOLO) or of XML files (VOC)."
        ),
    ] = None
    voc_origin: Annotated[
        Literal["auto", "zero", "one"],
        Meta(
            description="Coordinate of the first pixel in Pascal VOC files; auto is one, as VOC "
            "defines it, unless a box begins at zero."
        ),
    ] = "auto"
