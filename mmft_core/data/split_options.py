"""The options of data sets that divide their samples. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

Share = Annotated[float, Meta(ge=0, lt=1)]
GroupColumn = Annotated[
    str | None,
    Meta(
        description="Column whose equal cells stay together, a patient's or a speaker's: no random "
        "split and no fold (--folds) tears them apart. Short: --group."
    ),
]


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """How samples without a split of their own are divided."""

    val: Annotated[Share, Meta(description="Share of samples that choose the best model.")] = 0.1
    test: Annotated[Share, Meta(description="Share of samples for the final test.")] = 0.1


@dataclass(frozen=True, kw_only=True)
class TableSplitOptions(SplitOptions):
    """How the rows of a table are divided."""

    split_column: Annotated[
        str | None,
        Meta(description="Column that says train, val or test; unset takes the one named split."),
    ] = None
    group_column: GroupColumn = None
