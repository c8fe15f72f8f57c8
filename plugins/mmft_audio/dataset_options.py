"""The options of the audio data sets. No torch here: `mmft plugins show` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from mmft_datasets.split_options import SplitOptions
from mmft_tables.table_options import TableOptions


@dataclass(frozen=True, kw_only=True)
class AudioTableOptions(TableOptions):
    """Options of `audio-table`."""

    audio_column: Annotated[
        str | None,
        Meta(description="Column of audio files, relative to the table; unset detects it."),
    ] = None
    target_column: Annotated[
        str | None, Meta(description="Column of transcripts or class names; unset detects it.")
    ] = None
    start_column: Annotated[
        str | None,
        Meta(description="Column with the start of each recording within its file, in seconds."),
    ] = None
    end_column: Annotated[
        str | None,
        Meta(description="Column with the end of each recording within its file, in seconds."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class AudioFolderOptions(SplitOptions):
    """Options of `audio-folder`."""

    path: Annotated[str, Meta(description="Path of the folder.")] = ""


@dataclass(frozen=True, kw_only=True)
class SpokenCommandsOptions:
    """Options of `spoken-commands`."""

    samples: Annotated[
        Annotated[int, Meta(ge=20)] | None,
        Meta(description="Maximum number of training samples, drawn evenly; unset uses all."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class LibriSpeechOptions:
    """Options of `librispeech`."""

    root: Annotated[
        str,
        Meta(description="Folder that contains LibriSpeech/; missing files are downloaded to it."),
    ] = "data"
    train: Annotated[
        Literal["train-clean-100", "train-clean-360", "train-other-500", "dev-clean", "dev-other"],
        Meta(description="Subset for training."),
    ] = "train-clean-100"
    val: Annotated[
        Literal["dev-clean", "dev-other"], Meta(description="Subset for validation.")
    ] = "dev-clean"
    test: Annotated[
        Literal["test-clean", "test-other"], Meta(description="Subset for the final test.")
    ] = "test-clean"
    lower: Annotated[
        bool, Meta(description="Convert the upper-case transcripts to lower case.")
    ] = True


@dataclass(frozen=True, kw_only=True)
class SpeechCommandsOptions:
    """Options of `speech-commands`."""

    root: Annotated[
        str,
        Meta(
            description="Folder that contains SpeechCommands/speech_commands_v0.02; missing "
            "files are downloaded to it."
        ),
    ] = "data"


@dataclass(frozen=True, kw_only=True)
class CommonVoiceOptions:
    """Options of `common-voice`."""

    path: Annotated[
        str, Meta(description="Folder with train.tsv and clips/, or an archive of it.")
    ] = ""
