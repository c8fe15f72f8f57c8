"""The options of data sets that divide their samples. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

Share = Annotated[float, Meta(ge=0, lt=1)]


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """How samples without a split of their own are divided."""

    val: Annotated[Share, Meta(description="Share of samples that choose the best model.")] = 0.1
    test: Annotated[Share, Meta(description="Share of samples for the final test.")] = 0.1
