"""The options of the retrieval components. No torch here: `mmft plugins show` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta


@dataclass(frozen=True, kw_only=True)
class ContrastiveOptions:
    """Options of `contrastive`."""

    dim: Annotated[
        int, Meta(ge=2, description="Of the space that both modalities are embedded in.")
    ] = 256
    temperature: Annotated[
        float,
        Meta(
            gt=0.01,
            description="At first; similarities are divided by it before the softmax. It is "
            "learned, and never gets below 0.01.",
        ),
    ] = 0.07
