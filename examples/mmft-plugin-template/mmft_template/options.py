"""The options. `mmft plugins show` reads them, so no torch is imported here."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta


@dataclass(frozen=True, kw_only=True)
class TinyCnnOptions:
    """Options of `tiny-cnn`."""

    image_size: Annotated[
        int, Meta(ge=8, description="Side of the square that pictures are scaled to, in pixels.")
    ] = 64
    width: Annotated[int, Meta(ge=1, description="Channels of the last convolution.")] = 64


@dataclass(frozen=True, kw_only=True)
class PhotoPatchesOptions:
    """Options of `photo-patches`."""

    val: Annotated[
        float, Meta(gt=0, lt=0.5, description="Share of patches that choose the best model.")
    ] = 0.15
    test: Annotated[
        float, Meta(gt=0, lt=0.5, description="Share of patches for the final test.")
    ] = 0.15


@dataclass(frozen=True, kw_only=True)
class PrototypeOptions:
    """Options of `prototype-cls`."""

    temperature: Annotated[
        float, Meta(gt=0, description="Divides the cosine similarities before the softmax.")
    ] = 0.1
