"""The options of data sets that divide their samples. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

Share = Annotated[float, Meta(ge=0, lt=1)]
GroupColumn = Annotated[
    str | None,
    Meta(
        description="Column of groups, such as patients or speakers: random splits and folds keep "
        "the rows of a group together. Short form: --group."
    ),
]


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """How samples without a split of their own are divided."""

    val: Annotated[Share, Meta(description="Share of samples for validation.")] = 0.1
    test: Annotated[Share, Meta(description="Share of samples for the final test.")] = 0.1


@dataclass(frozen=True, kw_only=True)
class TableSplitOptions(SplitOptions):
    """How the rows of a table are divided."""

    split_column: Annotated[
        str | None,
        Meta(description="Column that holds train, val or test; unset uses a column named split."),
    ] = None
    group_column: GroupColumn = None
