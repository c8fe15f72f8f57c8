"""Conversations in every common format, and models that learn to answer them."""

from typing import Any

from mmft_chat.families import BUILDS, DATASETS, FAMILIES, PARTS, Kind
from mmft_core import BackboneSpec, CommandSpec, DatasetSpec, MetricSpec, TaskSpec, hookimpl
from mmft_core.data import TABLE_SUFFIXES

_SCRATCH = {"engine.lr": 1e-3, "engine.epochs": 6}
"""Random weights need larger and more steps."""

_USAGE = ("mmft chat {run}", "mmft predict {run} QUESTION", "mmft serve {run}")

_AS_PREFERENCES = {"task.beta": 1.0}
"""The bundled chats are mostly used with random weights, and a random reference is not worth
staying close to."""

_INSPECTORS = {"chat": "mmft_chat.inspection:ChatInspector"}


_TRAINING: dict[str, Any] = {
    "defaults": {"engine.lr": 2e-5, "engine.epochs": 2},
    "from_scratch": _SCRATCH,
}


@hookimpl
def register_backbone() -> list[BackboneSpec]:
    anything: list[tuple[str, str, Kind, str]] = [
        ("chat-lm", "causal language model", "text", "ChatBackboneOptions"),
        ("vision-chat", "vision-language model", "vision", "MediaBackboneOptions"),
        ("audio-chat", "audio-language model", "audio", "MediaBackboneOptions"),
    ]
    return [
        *(
            BackboneSpec(
                name=name,
                summary=f"Any {what} with a chat template, from --weights",
                modality="chat",
                provides=("pooled", "chat"),
                build=BUILDS[kind],
                options=f"mmft_chat.options:{options}",
                default_dataset=DATASETS[kind],
                parts=PARTS[kind],
                **_TRAINING,
            )
            for name, what, kind, options in anything
        ),
        *(family.spec(**_TRAINING) for family in FAMILIES),
    ]


@hookimpl
def register_dataset() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="chat-table",
            summary="A table of chats (JSON, Parquet): messages, or questions and answers",
            build="mmft_chat.chat_table:build",
            describe="mmft_chat.chat_table:describe",
            options="mmft_chat.options:ChatTableOptions",
            modalities=("chat",),
            targets=("text", "preference", "none"),
            inspectors=_INSPECTORS,
            opens=TABLE_SUFFIXES,
        ),
        DatasetSpec(
            name="chat-facts",
            summary="Questions about installed Python packages: which of them defines a name",
            build="mmft_chat.facts:build",
            options="mmft_chat.options:ChatFactsOptions",
            modalities=("chat",),
            targets=("text", "preference", "none"),
            inspectors=_INSPECTORS,
            bundled=True,
            defaults={
                "backbone.random_size": "tiny",
                "backbone.vocabulary": 4000,
                "backbone.max_length": 256,
                "task.max_new_tokens": 12,
                **_AS_PREFERENCES,
            },
            from_scratch={"engine.batch_size": 8},  # An answer is few tokens to learn from.
        ),
        DatasetSpec(
            name="chat-pictures",
            summary="Questions about pictures of handwritten digits (Alpaydin and Kaynak, 1998)",
            build="mmft_chat.pictures:build",
            options="mmft_chat.options:ChatPicturesOptions",
            modalities=("chat",),
            targets=("text", "preference", "none"),
            inspectors=_INSPECTORS,
            bundled=True,
            defaults={
                "backbone.random_size": "tiny",
                "backbone.vocabulary": 500,
                "backbone.max_length": 256,
                "task.max_new_tokens": 8,
                **_AS_PREFERENCES,
            },
            from_scratch={"engine.batch_size": 16, "engine.epochs": 12},
        ),
        DatasetSpec(
            name="chat-recordings",
            summary="Questions about recordings of numbers, spoken by synthetic voices",
            build="mmft_chat.spoken:build",
            options="mmft_chat.options:ChatRecordingsOptions",
            modalities=("chat",),
            targets=("text", "preference", "none"),
            inspectors=_INSPECTORS,
            bundled=True,
            extras=("speech",),
            defaults={
                "backbone.random_size": "tiny",
                "backbone.vocabulary": 500,
                "backbone.max_length": 256,
                "task.max_new_tokens": 8,
                **_AS_PREFERENCES,
            },
            from_scratch={"engine.batch_size": 16, "engine.epochs": 3, "engine.lr": 5e-4},
        ),
    ]


@hookimpl
def register_task() -> list[TaskSpec]:
    return [
        TaskSpec(
            name="chat",
            summary="Chat: learn what the assistant says, turn by turn",
            modalities=("chat",),
            target="text",
            predicts="text",
            needs=("chat",),
            build="mmft_chat.task:build",
            options="mmft_chat.options:ChatOptions",
            default_dataset="chat-facts",
            default_metrics=("exact-match", "token-f1"),
            monitor="token-f1",
            pipeline="text-generation",
            usage=_USAGE,
        ),
        TaskSpec(
            name="preference",
            summary="Preferences between answers: DPO, IPO, ORPO, KTO, SimPO",
            modalities=("chat",),
            target="preference",
            predicts="preferences",
            needs=("chat",),
            build="mmft_chat.preference:build",
            options="mmft_chat.preference_options:PreferenceOptions",
            default_dataset="chat-facts",
            default_metrics=("rewards", "logps"),
            defaults={"engine.lr": 2e-6, "engine.epochs": 1},
            from_scratch=_SCRATCH,
            monitor="loss",
            pipeline="text-generation",
            usage=_USAGE,
        ),
    ]


@hookimpl
def register_command() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="chat",
            summary="Chat with a finished model in the terminal.",
            build="mmft_chat.command:chat",
            section="Commands",
        )
    ]


@hookimpl
def register_metric() -> list[MetricSpec]:
    return [
        MetricSpec(
            name="exact-match",
            summary="Share of answers that have the same words as the reference",
            build="mmft_chat.metrics:build_exact_match",
            measures="text",
        ),
        MetricSpec(
            name="token-f1",
            summary="F1 of the words that answer and reference share (Rajpurkar et al., 2016)",
            build="mmft_chat.metrics:build_token_f1",
            measures="text",
        ),
        MetricSpec(
            name="choice-accuracy",
            summary="Share of answers that choose the reference's letter (A, B, ...)",
            build="mmft_chat.structured:build_choice_accuracy",
            measures="text",
        ),
        MetricSpec(
            name="json-fields",
            summary="F1 of the fields of answers in JSON, and the accuracy of each field",
            build="mmft_chat.structured:build_json_fields",
            measures="text",
        ),
        MetricSpec(
            name="rewards",
            summary="Rewards of preferences: accuracy, margin, chosen, rejected",
            build="mmft_chat.preference_metrics:build_rewards",
            measures="preferences",
        ),
        MetricSpec(
            name="logps",
            summary="Log-probabilities of chosen and rejected answers",
            build="mmft_chat.preference_metrics:build_logps",
            measures="preferences",
        ),
    ]
