"""The options that backbones share. No torch here: `mmft plugins show` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

SizeName = Literal["published", "base", "small", "tiny"]

Vocabulary = Annotated[
    int,
    Meta(
        ge=300,
        description="Vocabulary size of the tokenizer that is trained on the training "
        "split if the network starts from random weights.",
    ),
]
LoadBits = Annotated[
    Literal[4, 8] | None,
    Meta(description="Load pretrained weights in 4 or 8 bits, for --tune lora on a GPU."),
]


@dataclass(frozen=True)
class Size:
    """A size for random weights: layers (of each half, where there are two), width, heads."""

    layers: int
    width: int
    heads: int


SIZES = {"tiny": Size(4, 256, 4), "small": Size(6, 384, 6), "base": Size(12, 768, 12)}


@dataclass(frozen=True, kw_only=True)
class SizeOptions:
    """How large a network of random weights is."""

    size: Annotated[
        Literal["auto", "published", "base", "small", "tiny"],
        Meta(
            description="Size of a network that starts from random weights; auto is the "
            "published size unless the data set recommends a smaller one."
        ),
    ] = "auto"
    random_size: Annotated[
        SizeName,
        Meta(
            description="The size that auto stands for with random weights; data sets recommend "
            "one."
        ),
    ] = "published"
