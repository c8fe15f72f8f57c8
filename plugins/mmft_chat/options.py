"""The options of the chat components. No torch here: `mmft plugins show` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from mmft_core.config import Generation
from mmft_datasets.split_options import SplitOptions
from mmft_tables.table_options import TableOptions
from mmft_transformers.options import LoadBits, SizeName, SizeOptions, Vocabulary

Column = str | None


@dataclass(frozen=True, kw_only=True)
class ChatTableOptions(TableOptions):
    """Options of `chat-table`."""

    messages_column: Annotated[
        Column,
        Meta(description="Column of whole chats (messages, conversations); unset detects it."),
    ] = None
    question_column: Annotated[
        Column, Meta(description="Column of user messages; unset detects it.")
    ] = None
    answer_column: Annotated[
        Column, Meta(description="Column of assistant answers; unset detects it.")
    ] = None
    chosen_column: Annotated[
        Column, Meta(description="Column of preferred answers or chats; unset detects it.")
    ] = None
    rejected_column: Annotated[
        Column, Meta(description="Column of rejected answers or chats; unset detects it.")
    ] = None
    label_column: Annotated[
        Column,
        Meta(
            description="Column that says whether an answer is desirable; unset uses a column "
            "named label."
        ),
    ] = None
    system_column: Annotated[
        Column, Meta(description="Column of system messages; unset uses a column named system.")
    ] = None
    tools_column: Annotated[
        Column,
        Meta(description="Column of tools as JSON schemas; unset uses a column named tools."),
    ] = None
    type_column: Annotated[
        Column,
        Meta(
            description="Column of question types; metrics are also reported for each type. Unset "
            "uses a column named question_type, answer_type or category."
        ),
    ] = None
    image_column: Annotated[
        Column, Meta(description="Column of pictures: paths, bytes, data: URLs, or lists of them.")
    ] = None
    audio_column: Annotated[
        Column, Meta(description="Column of recordings: paths, bytes, data: URLs, or lists.")
    ] = None


@dataclass(frozen=True, kw_only=True)
class ChatFactsOptions(SplitOptions):
    """Options of `chat-facts`."""

    facts: Annotated[
        int, Meta(ge=12, description="Number of facts; each is asked about in 20 ways.")
    ] = 72


@dataclass(frozen=True, kw_only=True)
class ChatPicturesOptions(SplitOptions):
    """Options of `chat-pictures`."""

    samples: Annotated[int, Meta(ge=20, description="Number of chats, at most 1,797.")] = 1797


@dataclass(frozen=True, kw_only=True)
class ChatRecordingsOptions(SplitOptions):
    """Options of `chat-recordings`."""

    samples: Annotated[int, Meta(ge=20, description="Number of training chats, at most 1,200.")] = (
        1200
    )


@dataclass(frozen=True, kw_only=True)
class ChatBackboneOptions(SizeOptions):
    """Options of every chat backbone."""

    max_length: Annotated[
        int, Meta(ge=16, description="Maximum tokens per chat; never more than the model allows.")
    ] = 2048
    overlong: Annotated[
        Literal["refuse", "truncate"],
        Meta(
            description="What to do with longer chats: report them as bad samples, or drop their "
            "first questions and answers."
        ),
    ] = "refuse"
    chat_template: Annotated[
        str | None,
        Meta(description="Path of a Jinja file to use in place of the model's own chat template."),
    ] = None
    vocabulary: Vocabulary = 8000
    load_bits: LoadBits = None

    published: ClassVar[Mapping[str, str]] = {}
    """For a family: the Hub ids of its weights by size; the first is the default."""
    network: ClassVar[str] = ""
    """For a family: the architecture of its random weights; see `mmft_chat.families`."""

    def hub_id(self) -> str | None:
        """Hub id of the weights of the chosen size; None if none are published."""
        default = next(iter(self.published), "")
        return self.published.get(default if self.size == "auto" else self.size)

    def random(self) -> SizeName:
        """The size of random weights."""
        size = self.size
        return self.random_size if size == "auto" or size in self.published else size


@dataclass(frozen=True, kw_only=True)
class MediaBackboneOptions(ChatBackboneOptions):
    """Options of chat backbones that read pictures or recordings."""

    max_pixels: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(
            description="Maximum pixels of a picture; larger ones are scaled down. By default the "
            "model's processor decides; a photo may then take thousands of tokens.",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class AnswerOptions(Generation):
    """Options of tasks that learn answers."""

    packing: Annotated[
        bool | None,
        Meta(
            description="Pack several chats into one row instead of padding them; they do not "
            "attend to each other. Unset packs where the model can keep them apart."
        ),
    ] = None
    loss_chunk: Annotated[
        int,
        Meta(
            ge=1,
            description="Number of tokens per chunk of the loss; the logits of no more tokens are "
            "in memory at once.",
        ),
    ] = 256


@dataclass(frozen=True, kw_only=True)
class ChatOptions(AnswerOptions):
    """Options of `chat`."""

    learn: Annotated[
        Literal["assistant", "last", "all"],
        Meta(
            description="Which tokens are learned: those of all turns of the assistant, of the "
            "last one only, or all."
        ),
    ] = "assistant"
