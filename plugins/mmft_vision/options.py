"""The options of the image components. No torch here: `mmft plugins show` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from mmft_classification.options import ClassWeights, LabelTableOptions
from mmft_datasets.split_options import Share, SplitOptions

# Networks halve pictures five times; on a CPU, torch 2.14 gives NaN for bf16 gradients of a
# strided convolution that has a single pixel left.
Side = Annotated[int, Meta(ge=32)]
SIDE = "Side of the square that images are resized to, in pixels."


@dataclass(frozen=True, kw_only=True)
class AugmentationOptions:
    """How training pictures are augmented, for all image backbones, including other plugins'."""

    augment: Annotated[
        Literal["auto", "none", "light", "randaugment"],
        Meta(
            description="Augmentation of training images: light is a random crop with small "
            "changes of colour; randaugment adds RandAugment (Cubuk et al., 2019); auto is light, "
            "but none for a network that starts from random weights and trains for fewer than 5 "
            "epochs."
        ),
    ] = "auto"
    flip: Annotated[
        bool | None,
        Meta(
            description="Mirror training images at random; unset does so unless the class names "
            "are numbers or single letters, or differ in left and right."
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class PixelOptions:
    """How pictures with other than 8 bits are understood; see `mmft_vision.pixel_range.fitted`."""

    pixel_range: Annotated[
        tuple[float, float] | None,
        Meta(
            description="Values that map to black and white in images of more than 8 bits, "
            "such as [0, 4095]; unset finds them in the training data."
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class ImageOptions(PixelOptions, AugmentationOptions):
    """How an image backbone prepares its pictures."""


@dataclass(frozen=True, kw_only=True)
class ImageBackboneOptions(ImageOptions):
    """Options of torchvision's backbones."""

    image_size: Annotated[Side, Meta(description=SIDE)] = 224


@dataclass(frozen=True, kw_only=True)
class ImageFolderOptions(SplitOptions):
    """Options of `image-folder`."""

    path: Annotated[str, Meta(description="Path of the folder.")] = ""


@dataclass(frozen=True, kw_only=True)
class ImageTableOptions(LabelTableOptions):
    """Options of `image-table`."""

    image_column: Annotated[
        str | None,
        Meta(description="Column of image files, relative to the table; unset detects it."),
    ] = None
    label_column: Annotated[
        str | None,
        Meta(
            description="Column of class names, or of a row's labels; unset uses a column named "
            "label."
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class PublishedOptions:
    """Options of the published data sets."""

    root: Annotated[
        str, Meta(description="Folder of the data; missing files are downloaded to it.")
    ] = "data"
    val: Annotated[
        Share, Meta(description="Share of the training split that is set aside for validation.")
    ] = 0.1


@dataclass(frozen=True, kw_only=True)
class EmnistOptions(PublishedOptions):
    """Options of EMNIST."""

    variant: Annotated[
        Literal["byclass", "bymerge", "balanced", "letters", "digits", "mnist"],
        Meta(description="Variant of the data set."),
    ] = "balanced"


@dataclass(frozen=True, kw_only=True)
class ImageClassificationOptions:
    """Options of `image-cls`."""

    label_smoothing: Annotated[
        float, Meta(ge=0, lt=1, description="Label smoothing (Szegedy et al., 2015).")
    ] = 0.0
    class_weights: ClassWeights = "none"
    dropout: Annotated[float, Meta(ge=0, lt=1, description="Dropout before the classifier.")] = 0.0
    mixup: Annotated[
        float, Meta(ge=0, description="Alpha of MixUp (Zhang et al., 2017); 0 disables it.")
    ] = 0.0
    cutmix: Annotated[
        float, Meta(ge=0, description="Alpha of CutMix (Yun et al., 2019); 0 disables it.")
    ] = 0.0


@dataclass(frozen=True, kw_only=True)
class ImageRetrievalOptions:
    """Options of `image-retrieval`."""

    loss: Annotated[
        Literal["supcon", "triplet", "arcface", "proxy"],
        Meta(
            description="supcon: supervised contrastive (Khosla et al., 2020); triplet: batch-hard "
            "(Hermans et al., 2017); arcface (Deng et al., 2019); proxy: proxy-anchor (Kim et "
            "al., 2020)."
        ),
    ] = "supcon"
    dim: Annotated[
        Annotated[int, Meta(ge=2)] | None,
        Meta(
            description="Dimension of the embedding; none uses the backbone's features as they are."
        ),
    ] = 128
    temperature: Annotated[
        float, Meta(gt=0, description="Temperature of supcon, by which similarities are divided.")
    ] = 0.1
    margin: Annotated[
        Annotated[float, Meta(ge=0, lt=3.14)] | None,
        Meta(
            description="Margin of triplet (a distance; default 0.2), arcface (an angle in "
            "radians; 0.5) and proxy (a cosine; 0.1)."
        ),
    ] = None
    scale: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="Scale of the cosines of arcface (default 30) and proxy (32)."),
    ] = None
    group_size: Annotated[
        int, Meta(ge=2, description="Samples per class in a batch, for supcon and triplet.")
    ] = 4
