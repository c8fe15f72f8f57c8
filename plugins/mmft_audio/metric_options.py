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
            description="Text normalization for the normalized rate: basic removes case and "
            "punctuation; english also unifies contractions and numbers (Radford "
            "et al., 2022)."
        ),
    ] = "basic"
