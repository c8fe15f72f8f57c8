"""The options. `mmft plugins show` reads them, so no torch is imported here."""

from dataclasses import dataclass
from typing import Annotated

from mmft_vision.options import SIDE, ImageOptions, Side
from msgspec import Meta


@dataclass(frozen=True, kw_only=True)
class TimmOptions(ImageOptions):
    """Options of every backbone of timm's."""

    model: Annotated[
        str,
        Meta(
            description="timm's name of the network, with a tag where others than its default "
            "weights are wanted: resnet18.a1_in1k. `timm.list_models()` lists them."
        ),
    ] = "mobilenetv4_conv_small"
    image_size: Annotated[
        Side | None, Meta(description=f"{SIDE} Unset takes that of the published weights.")
    ] = None
