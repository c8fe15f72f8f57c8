"""The options of the fusion components. No torch here: `mmft plugins show` reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from mmft_core.data.split_options import Share, SplitOptions
from mmft_core.data.table_options import TableOptions
from mmft_core.generation import Generation

ColumnKind = Literal["image", "audio", "text", "category", "number", "date", "ignored"]


@dataclass(frozen=True, kw_only=True)
class FusionOptions:
    """Options of every task that fuses modalities."""

    fusion: Annotated[
        Literal["concat", "gated", "cross-attention", "late"],
        Meta(
            description="concat: side by side through a perceptron; gated: a weighted sum, whose "
            "weights the report shows; cross-attention: a small transformer over the sequences; "
            "late: the mean of what each modality says alone."
        ),
    ] = "concat"
    width: Annotated[
        int, Meta(ge=8, multiple_of=8, description="To which each modality's features are brought.")
    ] = 256
    layers: Annotated[int, Meta(ge=1, description="Of cross-attention.")] = 2
    heads: Annotated[int, Meta(ge=1, description="Of cross-attention; a divisor of the width.")] = 4
    dropout: Annotated[float, Meta(ge=0, lt=1, description="In what fuses.")] = 0.1
    alone: Annotated[
        float,
        Meta(
            ge=0,
            description="Weight of a further loss in training: of what each modality says alone, "
            "so that none is neglected for another that is learned faster. 0 for none; late "
            "fusion has no need of it.",
        ),
    ] = 0.5
    modality_dropout: Annotated[
        float,
        Meta(
            ge=0,
            lt=1,
            description="Share of a sample's modalities that training takes for missing, so that "
            "the model learns to do without; never all of them.",
        ),
    ] = 0.1


@dataclass(frozen=True, kw_only=True)
class FusionClassificationOptions(FusionOptions):
    """Options of `fusion-cls`."""

    label_smoothing: Annotated[
        float, Meta(ge=0, lt=1, description="Of the target (Szegedy et al., 2015).")
    ] = 0.0


@dataclass(frozen=True, kw_only=True)
class FusionRegressionOptions(FusionOptions):
    """Options of `fusion-reg`."""

    huber: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(
            description="Errors beyond so many standard deviations count linearly (Huber, 1964); "
            "unset for the squared error."
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class CaptioningOptions(Generation):
    """Options of `captioning`."""

    max_target_length: Annotated[
        int, Meta(ge=2, description="Most tokens of a caption to learn from; longer ones are cut.")
    ] = 64
    prefix_length: Annotated[
        int, Meta(ge=1, description="Vectors that stand for the picture or recording.")
    ] = 10
    layers: Annotated[int, Meta(ge=1, description="Of what makes them.")] = 2
    heads: Annotated[
        int, Meta(ge=1, description="Of these; a divisor of the language model's width.")
    ] = 4
    dropout: Annotated[float, Meta(ge=0, lt=1, description="Within these.")] = 0.1


@dataclass(frozen=True, kw_only=True)
class MixedTableOptions(TableOptions):
    """Options of `mixed-table`."""

    target_column: Annotated[
        str | None, Meta(description="Column of classes or numbers to predict; unset finds it.")
    ] = None
    columns: Annotated[
        dict[str, ColumnKind],
        Meta(
            description="What columns hold, where the guess that --dry-run shows is wrong: "
            "dataset.columns.NAME = image, audio, text, category, number, date or ignored."
        ),
    ] = field(default_factory=dict)
    formats: Annotated[
        dict[str, str],
        Meta(
            description="How the cells of columns are written, where they do not show it: "
            "dataset.formats.NAME = decimal-point or decimal-comma for numbers, day-first, "
            "month-first or year-first for dates."
        ),
    ] = field(default_factory=dict)
    others: Annotated[
        Literal["guess", "ignored"],
        Meta(description="What becomes of columns that dataset.columns does not name."),
    ] = "guess"


@dataclass(frozen=True, kw_only=True)
class DigitScenesOptions:
    """Options of `digit-scenes`."""

    samples: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="At most so many of train; unset for all 3,000."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class NoisyDigitsOptions(SplitOptions):
    """Options of `noisy-digits`."""

    missing: Annotated[
        Share, Meta(description="Share of each modality's inputs that samples lack, at random.")
    ] = 0.0
