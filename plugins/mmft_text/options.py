"""The options of the text components. No torch here: `mmft plugins show` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from mmft_core.data.split_options import GroupColumn, SplitOptions
from mmft_core.data.table_options import TableOptions
from mmft_core.generation import Generation
from mmft_core.planning.places import Place
from mmft_transformers.options import SizeOptions


@dataclass(frozen=True, kw_only=True)
class TextBackboneOptions(SizeOptions):
    """Options of every text backbone."""

    max_length: Annotated[
        int, Meta(ge=8, description="Most tokens of a text; never more than the model allows.")
    ] = 256
    overlong: Annotated[
        Literal["truncate", "refuse"],
        Meta(description="Longer texts: cut off their end and count them, or report them as bad."),
    ] = "truncate"
    vocabulary: Annotated[
        int,
        Meta(
            ge=300,
            description="Tokens of the tokenizer that is trained on the training split when a "
            "network starts from random weights.",
        ),
    ] = 8000
    load_bits: Annotated[
        Literal[4, 8] | None,
        Meta(description="Load pretrained weights in 4 or 8 bits, for --tune lora on a GPU."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class DocstringOptions(SplitOptions):
    """Options of `docstrings`."""

    samples: Annotated[
        int | None, Meta(description="At most so many, drawn evenly; unset takes what suits.")
    ] = None


@dataclass(frozen=True, kw_only=True)
class TextTableOptions(TableOptions):
    """Options of `text-table`."""

    text_column: Annotated[str | None, Meta(description="Column of texts; unset finds it.")] = None
    target_column: Annotated[
        str | None, Meta(description="Column of class names, or of target texts; unset finds it.")
    ] = None


@dataclass(frozen=True, kw_only=True)
class TextFolderOptions(SplitOptions):
    """Options of `text-folder`."""

    path: Annotated[str, Meta(description="The folder, or one text file.")] = ""


@dataclass(frozen=True, kw_only=True)
class HubTextOptions(SplitOptions):
    """Options of `hub-text`."""

    id: Annotated[Place, Meta(description="The data set's id, as stanfordnlp/imdb.")] = ""
    config: Annotated[str | None, Meta(description="Its configuration, if it has several.")] = None
    text_column: Annotated[str | None, Meta(description="Column of texts; unset finds it.")] = None
    target_column: Annotated[
        str | None, Meta(description="Column of class names, or of target texts; unset finds it.")
    ] = None
    group_column: GroupColumn = None


@dataclass(frozen=True, kw_only=True)
class TextClassificationOptions:
    """Options of `text-cls`."""

    dropout: Annotated[float, Meta(ge=0, lt=1, description="Before the classifier.")] = 0.1
    label_smoothing: Annotated[
        float, Meta(ge=0, lt=1, description="Of the target (Szegedy et al., 2015).")
    ] = 0.0


@dataclass(frozen=True, kw_only=True)
class TextRetrievalOptions:
    """Options of `text-retrieval`."""

    temperature: Annotated[
        float, Meta(gt=0, description="Similarities are divided by it before the softmax.")
    ] = 0.05


@dataclass(frozen=True, kw_only=True)
class SummarizationOptions(Generation):
    """Options of `summarization`."""

    prompt: Annotated[
        str | None,
        Meta(
            description="What a source is put into, as 'Summarize: {text}'; unset takes what suits "
            "the backbone."
        ),
    ] = None
    max_target_length: Annotated[
        int, Meta(ge=2, description="Most tokens of a summary to learn from; longer ones are cut.")
    ] = 128


@dataclass(frozen=True, kw_only=True)
class LanguageModelingOptions:
    """Options of `language-modeling`."""

    packing: Annotated[
        bool,
        Meta(description="Put several texts into one row, kept apart, instead of padding them."),
    ] = True


@dataclass(frozen=True, kw_only=True)
class RougeOptions:
    """Options of `rouge`."""

    stemmer: Annotated[bool, Meta(description="Compare word stems (Porter, 1980).")] = True
