"""Speech and sound: Whisper, CTC networks and audio classifiers; audio data sets; tasks."""

from typing import Any

from mmft_classification import DEFAULT_METRICS
from mmft_core import BackboneSpec, DatasetSpec, MetricSpec, TaskSpec, hookimpl
from mmft_core.data import TABLE_SUFFIXES

_FINE_TUNING = {"engine.lr": 5e-5, "engine.epochs": 3, "engine.weight_decay": 0.01}

_SCRATCH = {"engine.lr": 1e-3, "engine.epochs": 10}
"""Random weights have further to go."""

_WHISPER = {
    "whisper-tiny": "Whisper tiny (Radford et al., 2022), 39 M parameters",
    "whisper-tiny.en": "Whisper tiny, English only (Radford et al., 2022), 39 M parameters",
    "whisper-base": "Whisper base (Radford et al., 2022), 74 M parameters",
    "whisper-base.en": "Whisper base, English only (Radford et al., 2022), 74 M parameters",
    "whisper-small": "Whisper small (Radford et al., 2022), 244 M parameters",
    "whisper-medium": "Whisper medium (Radford et al., 2022), 769 M parameters",
    "whisper-large-v3": "Whisper large v3 (Radford et al., 2022), 1.5 B parameters",
    "whisper-large-v3-turbo": "Whisper large v3 with 4 decoder layers, 809 M parameters",
    "whisper": "Any Whisper model in transformers, from a folder or Hub id given by --weights",
}

_CTC = {
    "wav2vec2-base": "wav2vec 2.0 base with CTC (Baevski et al., 2020), 95 M parameters",
    "wav2vec2-large": "wav2vec 2.0 large with CTC (Baevski et al., 2020), 317 M parameters",
    "hubert-large": "HuBERT large with CTC (Hsu et al., 2021), 317 M parameters",
    "ctc": "Any wav2vec 2.0 or HuBERT model, from a folder or Hub id given by --weights",
}


@hookimpl
def register_backbone() -> list[BackboneSpec]:
    families = [
        ("whisper_building", "Whisper", _WHISPER, ("pooled", "sequence", "transcription")),
        ("ctc_building", "Ctc", _CTC, ("pooled", "sequence", "transcription")),
        (
            "spectrogram",
            "Spectrogram",
            {"ast-base": "Audio Spectrogram Transformer (Gong et al., 2021), 86 M parameters"},
            ("pooled", "sequence"),
        ),
    ]
    return [
        BackboneSpec(
            name=name,
            summary=summary,
            modality="audio",
            provides=provides,
            build=f"mmft_audio.{module}:build_{name.replace('-', '_').replace('.', '_')}",
            options=f"mmft_audio.options:{options}Options",
            defaults=_FINE_TUNING,
            from_scratch=_SCRATCH,
        )
        for module, options, names, provides in families
        for name, summary in names.items()
    ]


@hookimpl
def register_dataset() -> list[DatasetSpec]:
    audio: dict[str, Any] = {
        "modalities": ("audio",),
        "inspectors": {"audio": "mmft_audio.inspection:AudioInspector"},
    }
    speech: dict[str, Any] = {**audio, "targets": ("class", "text", "none")}
    return [
        DatasetSpec(
            name="spoken-commands",
            summary="Numbers and commands, spoken by synthetic voices",
            build="mmft_audio.spoken_commands:build",
            options="mmft_audio.dataset_options:SpokenCommandsOptions",
            extras=("speech",),
            bundled=True,
            defaults={
                "backbone.random_size": "tiny",
                "backbone.padding": "batch",
                # It is clean speech, and little of it.
                "backbone.noise": 0.0,
                "backbone.spec_augment": False,
            },
            **speech,
        ),
        DatasetSpec(
            name="audio-table",
            summary="A table (CSV, JSON, Parquet, Excel): audio files, and texts or labels",
            build="mmft_audio.audio_table:build",
            options="mmft_audio.dataset_options:AudioTableOptions",
            opens=TABLE_SUFFIXES,
            **speech,
        ),
        DatasetSpec(
            name="audio-folder",
            summary="A folder of audio files: class folders, or a text file beside each",
            build="mmft_audio.audio_folder:build",
            options="mmft_audio.dataset_options:AudioFolderOptions",
            opens=("/",),
            **speech,
        ),
        DatasetSpec(
            name="librispeech",
            summary="LibriSpeech, read English speech (Panayotov et al., 2015)",
            build="mmft_audio.published:build_librispeech",
            options="mmft_audio.dataset_options:LibriSpeechOptions",
            targets=("text", "none"),
            **audio,
        ),
        DatasetSpec(
            name="speech-commands",
            summary="Speech Commands, one-second recordings of 35 words (Warden, 2018)",
            build="mmft_audio.published:build_speech_commands",
            options="mmft_audio.dataset_options:SpeechCommandsOptions",
            targets=("class", "text", "none"),
            **audio,
        ),
        DatasetSpec(
            name="common-voice",
            summary="Common Voice as it is downloaded: a folder with train.tsv and clips/",
            build="mmft_audio.common_voice:build",
            options="mmft_audio.dataset_options:CommonVoiceOptions",
            targets=("text", "none"),
            **audio,
        ),
    ]


@hookimpl
def register_task() -> list[TaskSpec]:
    common: dict[str, Any] = {"modalities": ("audio",), "default_dataset": "spoken-commands"}
    return [
        TaskSpec(
            name="asr",
            summary="Speech recognition: a transcript of each recording",
            target="text",
            predicts="transcripts",
            needs=("transcription",),
            build="mmft_audio.recognition:build",
            options="mmft_audio.options:RecognitionOptions",
            default_metrics=("wer", "cer", "real-time-factor"),
            monitor="wer",
            pipeline="automatic-speech-recognition",
            captions={"task.timestamps": "words"},
            from_scratch={"engine.batch_size": 12},  # A transcript is few tokens to learn from.
            **common,
        ),
        TaskSpec(
            name="audio-cls",
            summary="Audio classification: one class for each recording",
            target="class",
            predicts="classes",
            build="mmft_audio.classification:build",
            options="mmft_audio.options:AudioClassificationOptions",
            default_metrics=DEFAULT_METRICS,
            monitor="accuracy",
            pipeline="audio-classification",
            **common,
        ),
    ]


@hookimpl
def register_metric() -> list[MetricSpec]:
    return [
        MetricSpec(
            name="wer",
            summary="Word error rate, raw and normalized, and the kinds of errors",
            build="mmft_audio.metrics:build_wer",
            options="mmft_audio.metric_options:ErrorRateOptions",
            measures="transcripts",
            higher_is_better=False,
        ),
        MetricSpec(
            name="cer",
            summary="Character error rate, raw and normalized",
            build="mmft_audio.metrics:build_cer",
            options="mmft_audio.metric_options:ErrorRateOptions",
            measures="transcripts",
            higher_is_better=False,
        ),
        MetricSpec(
            name="real-time-factor",
            summary="Seconds of computation per second of audio",
            build="mmft_audio.metrics:build_real_time_factor",
            measures="transcripts",
            higher_is_better=False,
        ),
    ]
