"""The options of the audio data sets. No torch here: `mmft plugins show` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from mmft_core.data.split_options import SplitOptions
from mmft_core.data.table_options import TableOptions


@dataclass(frozen=True, kw_only=True)
class AudioTableOptions(TableOptions):
    """Options of `audio-table`."""

    audio_column: Annotated[
        str | None,
        Meta(description="Column of files, relative to the table; unset finds it."),
    ] = None
    target_column: Annotated[
        str | None, Meta(description="Column of transcripts or class names; unset finds it.")
    ] = None
    start_column: Annotated[
        str | None,
        Meta(description="Column of seconds at which a recording starts in its file."),
    ] = None
    end_column: Annotated[
        str | None, Meta(description="Column of seconds at which it ends there.")
    ] = None


@dataclass(frozen=True, kw_only=True)
class AudioFolderOptions(SplitOptions):
    """Options of `audio-folder`."""

    path: Annotated[str, Meta(description="The folder.")] = ""


@dataclass(frozen=True, kw_only=True)
class SpokenCommandsOptions:
    """Options of `spoken-commands`."""

    samples: Annotated[
        Annotated[int, Meta(ge=20)] | None,
        Meta(description="At most so many of train, drawn evenly; unset for all."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class LibriSpeechOptions:
    """Options of `librispeech`."""

    root: Annotated[
        str,
        Meta(description="Folder that holds LibriSpeech/; what is missing is downloaded to it."),
    ] = "data"
    train: Annotated[
        Literal["train-clean-100", "train-clean-360", "train-other-500", "dev-clean", "dev-other"],
        Meta(description="Subset to learn from."),
    ] = "train-clean-100"
    val: Annotated[
        Literal["dev-clean", "dev-other"], Meta(description="Subset that chooses the best model.")
    ] = "dev-clean"
    test: Annotated[
        Literal["test-clean", "test-other"], Meta(description="Subset for the final test.")
    ] = "test-clean"
    lower: Annotated[
        bool, Meta(description="Transcripts, which are in capitals, in lower case.")
    ] = True


@dataclass(frozen=True, kw_only=True)
class SpeechCommandsOptions:
    """Options of `speech-commands`."""

    root: Annotated[
        str,
        Meta(
            description="Folder that holds SpeechCommands/speech_commands_v0.02; what is missing "
            "is downloaded to it."
        ),
    ] = "data"


@dataclass(frozen=True, kw_only=True)
class CommonVoiceOptions:
    """Options of `common-voice`."""

    path: Annotated[str, Meta(description="The folder of train.tsv and clips/.")] = ""
