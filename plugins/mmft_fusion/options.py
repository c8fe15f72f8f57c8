"""The options of the fusion components. No torch here: `mmft plugins show` reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from mmft_classification.options import ClassWeights, LabelLossOptions, LabelTableOptions
from mmft_core.config import Generation
from mmft_datasets.split_options import Share, SplitOptions

ColumnKind = Literal["image", "audio", "text", "category", "number", "date", "ignored"]


@dataclass(frozen=True, kw_only=True)
class FusionOptions:
    """Options of every task that fuses modalities."""

    fusion: Annotated[
        Literal["concat", "gated", "cross-attention", "late"],
        Meta(
            description="Fusion: concat (concatenation and a perceptron), gated (a weighted "
            "sum; the report shows the weights), cross-attention (a small "
            "transformer over the sequences), or late (the mean of each modality's "
            "own predictions)."
        ),
    ] = "concat"
    width: Annotated[
        int,
        Meta(
            ge=8,
            multiple_of=8,
            description="Width to which each modality's features are projected.",
        ),
    ] = 256
    layers: Annotated[int, Meta(ge=1, description="Layers of cross-attention.")] = 2
    heads: Annotated[
        int, Meta(ge=1, description="Attention heads of cross-attention; a divisor of the width.")
    ] = 4
    dropout: Annotated[float, Meta(ge=0, lt=1, description="Dropout in the fusion layers.")] = 0.1
    alone: Annotated[
        float,
        Meta(
            ge=0,
            description="Weight of an auxiliary loss on each modality's own prediction, so "
            "that no modality is neglected for one that is learned faster. 0 "
            "disables it; late fusion does not need it.",
        ),
    ] = 0.5
    modality_dropout: Annotated[
        float,
        Meta(
            ge=0,
            lt=1,
            description="Probability of dropping each modality of a training sample, so that "
            "the model learns to do without it; never all of them.",
        ),
    ] = 0.1


@dataclass(frozen=True, kw_only=True)
class FusionClassificationOptions(FusionOptions):
    """Options of `fusion-cls`."""

    label_smoothing: Annotated[
        float, Meta(ge=0, lt=1, description="Label smoothing (Szegedy et al., 2015).")
    ] = 0.0
    class_weights: ClassWeights = "none"


@dataclass(frozen=True, kw_only=True)
class FusionMultiLabelOptions(FusionOptions, LabelLossOptions):
    """Options of `fusion-multilabel`."""


@dataclass(frozen=True, kw_only=True)
class FusionRegressionOptions(FusionOptions):
    """Options of `fusion-reg`."""

    huber: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(
            description="Errors beyond this many standard deviations count linearly (Huber, "
            "1964); unset uses the squared error."
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class CaptioningOptions(Generation):
    """Options of `captioning`."""

    max_target_length: Annotated[
        int,
        Meta(ge=2, description="Maximum tokens of a training caption; longer ones are truncated."),
    ] = 64
    prefix_length: Annotated[
        int,
        Meta(ge=1, description="Number of prefix vectors that represent the image or recording."),
    ] = 10
    layers: Annotated[
        int, Meta(ge=1, description="Layers of the network that produces the prefix.")
    ] = 2
    heads: Annotated[
        int,
        Meta(
            ge=1,
            description="Attention heads of these layers; a divisor of the language model's width.",
        ),
    ] = 4
    dropout: Annotated[float, Meta(ge=0, lt=1, description="Dropout in these layers.")] = 0.1


@dataclass(frozen=True, kw_only=True)
class MixedTableOptions(LabelTableOptions):
    """Options of `mixed-table`."""

    target_column: Annotated[
        str | None,
        Meta(description="Column of classes, labels or numbers to predict; unset detects it."),
    ] = None
    columns: Annotated[
        dict[str, ColumnKind],
        Meta(
            description="Types of columns that were detected wrongly (see --dry-run): "
            "dataset.columns.NAME = image, audio, text, category, number, date or "
            "ignored."
        ),
    ] = field(default_factory=dict)
    formats: Annotated[
        dict[str, str],
        Meta(
            description="Notation of columns where it is ambiguous: dataset.formats.NAME = "
            "decimal-point or decimal-comma for numbers; day-first, month-first or "
            "year-first for dates."
        ),
    ] = field(default_factory=dict)
    others: Annotated[
        Literal["guess", "ignored"],
        Meta(description="What to do with columns that dataset.columns does not name."),
    ] = "guess"


@dataclass(frozen=True, kw_only=True)
class DigitScenesOptions:
    """Options of `digit-scenes`."""

    samples: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Maximum number of training samples; unset uses all 3,000."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class NoisyDigitsOptions(SplitOptions):
    """Options of `noisy-digits`."""

    missing: Annotated[
        Share, Meta(description="Share of each modality's inputs that are missing at random.")
    ] = 0.0
