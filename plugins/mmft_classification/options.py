"""Options that classification tasks and their data sets share. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from mmft_tables.table_options import TableOptions

ClassWeights = Annotated[
    Literal["none", "auto"],
    Meta(
        description="auto gives each class the weight n / (C * n_c) in the loss, from the n "
        "training samples of C classes; rare classes then count as much as frequent ones."
    ),
]


@dataclass(frozen=True, kw_only=True)
class LabelTableOptions(TableOptions):
    """Options of tables that may hold several labels for each row."""

    label_columns: Annotated[
        tuple[str, ...] | None,
        Meta(
            description="Multi-label tasks: columns of 0 and 1, one for each label, such as "
            "[cat,dog]; unset detects them where no column holds lists of labels."
        ),
    ] = None
    label_separator: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(
            description="Multi-label tasks: separator of the labels in a cell, such as ';' or '|'; "
            "unset detects it."
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class LabelLossOptions:
    """Options of every multi-label task."""

    loss: Annotated[
        Literal["bce", "focal", "asymmetric"],
        Meta(
            description="bce: binary cross-entropy of each label; focal (Lin et al., 2017); "
            "asymmetric (Ridnik et al., 2021), if there are many labels and each sample has few."
        ),
    ] = "bce"
    gamma: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(
            description="Focusing of the focal loss (default 2), or of the negatives in the "
            "asymmetric loss (default 4). Larger values reduce the weight of easy cases."
        ),
    ] = None
    margin: Annotated[
        float,
        Meta(
            ge=0,
            lt=1,
            description="Asymmetric loss: negatives below this probability do not count at all.",
        ),
    ] = 0.05
    class_weights: Annotated[
        Literal["none", "auto"],
        Meta(
            description="auto multiplies the loss of a label's positives by its ratio of negatives "
            "to positives in the training data, at most 100."
        ),
    ] = "none"


@dataclass(frozen=True, kw_only=True)
class MultiLabelOptions(LabelLossOptions):
    """Options of multi-label tasks of one modality."""

    dropout: Annotated[float, Meta(ge=0, lt=1, description="Dropout before the classifier.")] = 0.1
