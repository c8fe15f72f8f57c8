"""The options of the metrics. No torch here: `mmft plugins show` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta


@dataclass(frozen=True, kw_only=True)
class ErrorRateOptions:
    """Options of `wer` and `cer`."""

    normalizer: Annotated[
        Literal["basic", "english"],
        Meta(
            description="For the normalized figure: basic takes out case and punctuation; english "
            "also writes out contractions and numbers in one way (Radford et al., 2022)."
        ),
    ] = "basic"
