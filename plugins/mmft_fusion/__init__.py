"""Fusion: a class, labels or a number from pictures, texts, recordings and columns together; and
data of several modalities."""

from typing import Any

from mmft_classification import DEFAULT_METRICS as CLASS_METRICS
from mmft_classification import MULTI_LABEL
from mmft_core import ANY_MODALITIES, DatasetSpec, TaskSpec, hookimpl
from mmft_core.data import TABLE_SUFFIXES
from mmft_regression import DEFAULT_METRICS as NUMBER_METRICS


@hookimpl
def register_dataset() -> list[DatasetSpec]:
    inspectors = {
        "image": "mmft_vision.inspection:ImageInspector",
        "text": "mmft_text.inspection:TextInspector",
        "audio": "mmft_audio.inspection:AudioInspector",
        "tabular": "mmft_tabular.inspection:RowInspector",
    }
    return [
        DatasetSpec(
            name="mixed-table",
            summary="A table with columns of pictures, recordings, texts, categories and numbers",
            build="mmft_fusion.mixed_table:build",
            inspectors=inspectors,
            describe="mmft_fusion.mixed_table:describe",
            options="mmft_fusion.options:MixedTableOptions",
            modalities=ANY_MODALITIES,
            targets=("class", "labels", "number", "text", "pair", "none"),
            opens=TABLE_SUFFIXES,
        ),
        DatasetSpec(
            name="digit-scenes",
            summary="Scenes of handwritten digits in colours, with captions, written and spoken",
            build="mmft_fusion.digit_scenes:build",
            inspectors=inspectors,
            options="mmft_fusion.options:DigitScenesOptions",
            modalities=("image", "text", "audio"),
            targets=("pair", "text", "none"),
            bundled=True,
            defaults={
                "backbone.image.image_size": 64,
                "backbone.image.flip": False,
                "backbone.image.augment": "none",
                "backbone.random_size": "tiny",
                "backbone.text.max_length": 32,
                "backbone.audio.padding": "batch",
                "backbone.audio.noise": 0.0,
                "backbone.audio.spec_augment": False,
                "engine.epochs": 20,
            },
        ),
        DatasetSpec(
            name="labelled-scenes",
            summary="Scenes of handwritten digits in colours, labelled with the digits in each",
            build="mmft_fusion.digit_scenes:build_labelled",
            inspectors=inspectors,
            options="mmft_fusion.options:DigitScenesOptions",
            modalities=("image",),
            targets=("labels", "none"),
            bundled=True,
            defaults={
                "backbone.image_size": 64,
                "backbone.flip": False,
                "backbone.augment": "none",
                "engine.epochs": 6,
            },
        ),
        DatasetSpec(
            name="noisy-digits",
            summary="Digits as picture, spoken word, written word and columns, each with noise",
            build="mmft_fusion.noisy_digits:build",
            inspectors=inspectors,
            options="mmft_fusion.options:NoisyDigitsOptions",
            modalities=("image", "text", "audio", "tabular"),
            targets=("class", "labels", "number"),
            bundled=True,
            defaults={
                "backbone.image.image_size": 32,
                "backbone.image.flip": False,
                "backbone.image.augment": "none",
                "backbone.random_size": "tiny",
                "backbone.text.max_length": 16,
                "backbone.text.vocabulary": 300,  # About one for each letter.
                "backbone.audio.padding": "batch",
                "backbone.audio.noise": 0.0,
                "backbone.audio.spec_augment": False,
                "engine.epochs": 10,
            },
        ),
    ]


@hookimpl
def register_task() -> list[TaskSpec]:
    common: dict[str, Any] = {
        "modalities": ANY_MODALITIES,
        "joint": True,
        "partial": True,
        "default_dataset": "noisy-digits",
        "defaults": {"engine.lr": 1e-4, "engine.head_lr": 1e-3, "engine.weight_decay": 0.01},
        "from_scratch": {"engine.lr": 1e-3, "engine.head_lr": "none"},
    }
    return [
        TaskSpec(
            name="fusion-cls",
            summary="Classification of several modalities together",
            target="class",
            predicts="classes",
            build="mmft_fusion.tasks:build_classification",
            options="mmft_fusion.options:FusionClassificationOptions",
            default_metrics=CLASS_METRICS,
            monitor="accuracy",
            pipelines={"tabular": "tabular-classification"},  # The Hub has none for several.
            **common,
        ),
        TaskSpec(
            name="fusion-multilabel",
            summary="Classification of several modalities together, with any number of labels",
            build="mmft_fusion.tasks:build_multilabel",
            pipelines={"tabular": "tabular-classification"},
            **MULTI_LABEL | {"options": "mmft_fusion.options:FusionMultiLabelOptions"},
            **common,
        ),
        TaskSpec(
            name="fusion-reg",
            summary="Regression: a number from several modalities together",
            target="number",
            predicts="numbers",
            build="mmft_fusion.tasks:build_regression",
            options="mmft_fusion.options:FusionRegressionOptions",
            default_metrics=NUMBER_METRICS,
            monitor="mae",
            pipelines={"tabular": "tabular-regression"},
            **common,
        ),
        TaskSpec(
            name="captioning",
            summary="Captions of pictures or recordings, by a language model",
            modalities=ANY_MODALITIES,
            count=(2, 2),
            target="text",
            predicts="text",
            writes={"text": ("generation", "prefix")},
            build="mmft_fusion.captioning:build",
            options="mmft_fusion.options:CaptioningOptions",
            defaults={"engine.lr": 5e-5, "engine.head_lr": 1e-3, "engine.weight_decay": 0.01},
            from_scratch={"engine.lr": 1e-3, "engine.head_lr": "none"},
            default_dataset="digit-scenes",
            default_metrics=("rouge", "bleu", "chrf"),
            monitor="rouge/l",
            pipelines={"image": "image-to-text"},
        ),
    ]
