"""The options of backbones and tasks. No torch here: `mmft plugins show` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from mmft_classification.options import ClassWeights
from mmft_core.config import Generation
from mmft_transformers.options import SizeOptions


@dataclass(frozen=True, kw_only=True)
class AugmentationOptions:
    """How training audio is changed."""

    speed: Annotated[
        float,
        Meta(
            ge=0,
            lt=0.5,
            description="Play training audio faster or slower at random, by up to this share "
            "(Ko et al., 2015); 0 disables it.",
        ),
    ] = 0.1
    noise: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Share of training recordings to which white to brown noise is added, "
            "10 to 40 dB below the signal.",
        ),
    ] = 0.3
    spec_augment: Annotated[
        bool,
        Meta(
            description="Mask bands of time and frequency during training (SpecAugment, Park "
            "et al., 2019)."
        ),
    ] = True


@dataclass(frozen=True, kw_only=True)
class AudioOptions(AugmentationOptions):
    """How an audio backbone reads recordings; the options of your own networks."""

    window: Annotated[
        float,
        Meta(
            ge=0.1,
            description="Length that recordings are padded to, in seconds; of a longer one, a "
            "part is used.",
        ),
    ] = 5.0


@dataclass(frozen=True, kw_only=True)
class AudioBackboneOptions(AugmentationOptions, SizeOptions):
    """Options of the audio backbones from transformers."""


@dataclass(frozen=True, kw_only=True)
class WhisperOptions(AudioBackboneOptions):
    """Options of the Whisper backbones."""

    padding: Annotated[
        Literal["window", "batch"],
        Meta(
            description="Padding: window pads with silence to the 30 seconds that Whisper was "
            "trained on; batch pads to the longest recording of the batch with a "
            "mask, which is much faster for short recordings."
        ),
    ] = "window"
    window: Annotated[
        float,
        Meta(
            gt=0,
            le=30,
            description="Longest audio that the network takes at once, in seconds; longer "
            "recordings are cut into pieces (see task.piece_seconds).",
        ),
    ] = 30.0
    language: Annotated[
        str,
        Meta(
            description="Language for a multilingual network, such as en or de; auto detects "
            "it in the training recordings."
        ),
    ] = "auto"
    speech_task: Annotated[
        Literal["transcribe", "translate"],
        Meta(description="Task token of a multilingual network; translate means into English."),
    ] = "transcribe"
    vocabulary: Annotated[
        int,
        Meta(
            ge=300,
            description="Vocabulary size of the tokenizer that is trained on the training "
            "transcripts if the network starts from random weights.",
        ),
    ] = 2000


@dataclass(frozen=True, kw_only=True)
class CtcOptions(AudioBackboneOptions):
    """Options of the CTC backbones."""

    window: Annotated[
        float, Meta(gt=0, description="Longest audio that the network takes at once, in seconds.")
    ] = 30.0


@dataclass(frozen=True, kw_only=True)
class SpectrogramOptions(AudioBackboneOptions):
    """Options of the spectrogram transformers."""


@dataclass(frozen=True, kw_only=True)
class RecognitionOptions(Generation):
    """Options of `asr`."""

    max_new_tokens: Annotated[
        int, Meta(ge=1, description="Maximum tokens of a transcript of 30 seconds.")
    ] = 224
    num_beams: Annotated[
        int, Meta(ge=1, description="Beams of beam search; 1 is greedy search.")
    ] = 5
    piece_seconds: Annotated[
        Annotated[float, Meta(ge=1)] | None,
        Meta(
            description="Maximum length, in seconds, of the pieces into which longer recordings "
            "are cut at quiet places for transcription, not for training; unset uses the network's "
            "maximum. A network trained on short recordings does best with short pieces."
        ),
    ] = None
    exact: Annotated[
        bool,
        Meta(
            description="Transcribe in full precision, so that transcripts do not depend on "
            "the device; false is faster, and occasionally gives another word."
        ),
    ] = True
    timestamps: Annotated[
        Literal["none", "words"], Meta(description="Whether to add timestamps to the transcript.")
    ] = "none"


@dataclass(frozen=True, kw_only=True)
class AudioClassificationOptions:
    """Options of `audio-cls`."""

    dropout: Annotated[float, Meta(ge=0, lt=1, description="Dropout before the classifier.")] = 0.1
    label_smoothing: Annotated[
        float, Meta(ge=0, lt=1, description="Label smoothing (Szegedy et al., 2015).")
    ] = 0.0
    class_weights: ClassWeights = "none"
