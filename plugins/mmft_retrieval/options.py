"""The options of the retrieval components. No torch here: `mmft plugins show` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta


@dataclass(frozen=True, kw_only=True)
class ContrastiveOptions:
    """Options of `contrastive`."""

    dim: Annotated[int, Meta(ge=2, description="Dimension of the joint embedding.")] = 256
    temperature: Annotated[
        float,
        Meta(
            gt=0.01,
            description="Initial temperature, by which similarities are divided before the "
            "softmax. It is learned, and never falls below 0.01.",
        ),
    ] = 0.07
