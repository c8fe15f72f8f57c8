"""The options of backbones and tasks. No torch here: `mmft plugins show` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from mmft_core.generation import Generation
from mmft_transformers.options import SizeOptions


@dataclass(frozen=True, kw_only=True)
class AudioBackboneOptions(SizeOptions):
    """Options of every audio backbone."""

    speed: Annotated[
        float,
        Meta(
            ge=0,
            lt=0.5,
            description="Training audio is played faster or slower at random, by up to this share "
            "(Ko et al., 2015); 0 for never.",
        ),
    ] = 0.1
    noise: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Share of training recordings that get white to brown noise, 10 to 40 dB "
            "below them.",
        ),
    ] = 0.3
    spec_augment: Annotated[
        bool,
        Meta(description="Blank bands of time and frequency in training (Park et al., 2019)."),
    ] = True


@dataclass(frozen=True, kw_only=True)
class WhisperOptions(AudioBackboneOptions):
    """Options of the Whisper backbones."""

    padding: Annotated[
        Literal["window", "batch"],
        Meta(
            description="window: silence up to the 30 seconds that Whisper was trained on; batch: "
            "to the longest recording of a batch and masked, many times less work for short ones."
        ),
    ] = "window"
    window: Annotated[
        float,
        Meta(
            gt=0,
            le=30,
            description="Seconds of audio that the network hears at once, at most; longer "
            "recordings are cut into pieces (see task.piece_seconds).",
        ),
    ] = 30.0
    language: Annotated[
        str,
        Meta(
            description="Of a multilingual network, as en or de; auto hears it in the training "
            "recordings."
        ),
    ] = "auto"
    speech_task: Annotated[
        Literal["transcribe", "translate"],
        Meta(description="What a multilingual network is told to do; translate is to English."),
    ] = "transcribe"
    vocabulary: Annotated[
        int,
        Meta(
            ge=300,
            description="Tokens of the tokenizer that is trained on the training transcripts when "
            "a network starts from random weights.",
        ),
    ] = 2000


@dataclass(frozen=True, kw_only=True)
class CtcOptions(AudioBackboneOptions):
    """Options of the CTC backbones."""

    window: Annotated[
        float, Meta(gt=0, description="Seconds of audio that the network hears at once, at most.")
    ] = 30.0


@dataclass(frozen=True, kw_only=True)
class SpectrogramOptions(AudioBackboneOptions):
    """Options of the spectrogram transformers."""


@dataclass(frozen=True, kw_only=True)
class RecognitionOptions(Generation):
    """Options of `asr`."""

    max_new_tokens: Annotated[
        int, Meta(ge=1, description="Longest transcript of 30 seconds, in tokens.")
    ] = 224
    num_beams: Annotated[
        int, Meta(ge=1, description="Alternatives that beam search follows; 1 for greedy search.")
    ] = 5
    piece_seconds: Annotated[
        Annotated[float, Meta(ge=1)] | None,
        Meta(
            description="Longer recordings are cut at quiet places into pieces of at most so many "
            "seconds to be written down, not to learn from; unset for as much as the network "
            "hears. One that has learned from short recordings wants pieces like them."
        ),
    ] = None
    exact: Annotated[
        bool,
        Meta(
            description="Write in full precision, so that transcripts do not depend on the device; "
            "false is faster, and now and then writes another word."
        ),
    ] = True
    timestamps: Annotated[
        Literal["none", "words"], Meta(description="Also find when each word is said.")
    ] = "none"


@dataclass(frozen=True, kw_only=True)
class AudioClassificationOptions:
    """Options of `audio-cls`."""

    dropout: Annotated[float, Meta(ge=0, lt=1, description="Before the classifier.")] = 0.1
    label_smoothing: Annotated[
        float, Meta(ge=0, lt=1, description="Of the target (Szegedy et al., 2015).")
    ] = 0.0
