"""The options of the tabular backbones. No torch here: `mmft plugins show` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta


@dataclass(frozen=True, kw_only=True)
class TabularOptions:
    """Options of every tabular backbone."""

    width: Annotated[
        int, Meta(ge=8, multiple_of=8, description="Width of the features; a multiple of 8.")
    ] = 128
    depth: Annotated[int, Meta(ge=1, description="Layers.")] = 2
    dropout: Annotated[float, Meta(ge=0, lt=1, description="Dropout within each layer.")] = 0.1
    rare: Annotated[
        int,
        Meta(
            ge=1, description="Categories in fewer training rows than this are treated as unknown."
        ),
    ] = 2
