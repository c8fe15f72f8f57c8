"""The options of the text components. No torch here: `mmft plugins show` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from mmft_classification.options import ClassWeights, LabelTableOptions
from mmft_core.config import Generation, Place
from mmft_datasets.split_options import GroupColumn, SplitOptions
from mmft_transformers.options import LoadBits, SizeOptions, Vocabulary


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """How a text backbone reads texts; the options of your own networks."""

    max_length: Annotated[
        int, Meta(ge=8, description="Maximum tokens per text; never more than the model allows.")
    ] = 256
    overlong: Annotated[
        Literal["truncate", "refuse"],
        Meta(
            description="What to do with longer texts: truncate and count them, or report them "
            "as bad samples."
        ),
    ] = "truncate"
    vocabulary: Vocabulary = 8000


@dataclass(frozen=True, kw_only=True)
class TextBackboneOptions(TextOptions, SizeOptions):
    """Options of the text backbones from transformers."""

    load_bits: LoadBits = None


@dataclass(frozen=True, kw_only=True)
class DocstringOptions(SplitOptions):
    """Options of `docstrings`."""

    samples: Annotated[
        int | None,
        Meta(description="Maximum number of samples, drawn evenly; unset uses a suitable number."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class TextTableOptions(LabelTableOptions):
    """Options of `text-table`."""

    text_column: Annotated[str | None, Meta(description="Column of texts; unset detects it.")] = (
        None
    )
    target_column: Annotated[
        str | None,
        Meta(description="Column of class names, labels or target texts; unset detects it."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class TextFolderOptions(SplitOptions):
    """Options of `text-folder`."""

    path: Annotated[str, Meta(description="Path of the folder, or of one text file.")] = ""


@dataclass(frozen=True, kw_only=True)
class HubTextOptions(SplitOptions):
    """Options of `hub-text`."""

    id: Annotated[Place, Meta(description="Id of the data set, such as stanfordnlp/imdb.")] = ""
    config: Annotated[
        str | None, Meta(description="Configuration of the data set, if it has several.")
    ] = None
    text_column: Annotated[str | None, Meta(description="Column of texts; unset detects it.")] = (
        None
    )
    target_column: Annotated[
        str | None,
        Meta(
            description="Column of class names, lists of labels or target texts; unset detects it."
        ),
    ] = None
    group_column: GroupColumn = None


@dataclass(frozen=True, kw_only=True)
class TextClassificationOptions:
    """Options of `text-cls`."""

    dropout: Annotated[float, Meta(ge=0, lt=1, description="Dropout before the classifier.")] = 0.1
    label_smoothing: Annotated[
        float, Meta(ge=0, lt=1, description="Label smoothing (Szegedy et al., 2015).")
    ] = 0.0
    class_weights: ClassWeights = "none"


@dataclass(frozen=True, kw_only=True)
class TextRetrievalOptions:
    """Options of `text-retrieval`."""

    temperature: Annotated[
        float,
        Meta(gt=0, description="Temperature by which similarities are divided before the softmax."),
    ] = 0.05


@dataclass(frozen=True, kw_only=True)
class SummarizationOptions(Generation):
    """Options of `summarization`."""

    prompt: Annotated[
        str | None,
        Meta(
            description="Prompt around the source, such as 'Summarize: {text}'; unset uses "
            "what suits the backbone."
        ),
    ] = None
    max_target_length: Annotated[
        int,
        Meta(ge=2, description="Maximum tokens of a training summary; longer ones are truncated."),
    ] = 128


@dataclass(frozen=True, kw_only=True)
class LanguageModelingOptions:
    """Options of `language-modeling`."""

    packing: Annotated[
        bool,
        Meta(
            description="Pack several texts into one row instead of padding them; they do not "
            "attend to each other."
        ),
    ] = True


@dataclass(frozen=True, kw_only=True)
class RougeOptions:
    """Options of `rouge`."""

    stemmer: Annotated[bool, Meta(description="Compare word stems (Porter, 1980).")] = True
