"""A sound plugin of all kinds, for a modality of its own: short lists of numbers."""

from mmft_core import BackboneSpec, DatasetSpec, MetricSpec, TaskSpec, hookimpl

COMMON = {"summary": "Of the tests"}


@hookimpl
def register_backbone():
    return [
        BackboneSpec(
            name="mean",
            modality="numbers",
            provides=("pooled", "sequence"),
            build="sound_parts:MeanNet",
            options="sound_options:NetOptions",
            defaults={"engine.lr": 1e-2},
            **COMMON,
        )
    ]


@hookimpl
def register_dataset():
    return [
        DatasetSpec(
            name="signs",
            modalities=("numbers",),
            targets=("class",),
            build="sound_parts:build_signs",
            options="sound_options:SignsOptions",
            opens=(".txt",),
            bundled=True,
            **COMMON,
        )
    ]


@hookimpl
def register_task():
    return [
        TaskSpec(
            name="sign-cls",
            modalities=("numbers",),
            target="class",
            predicts="signs",
            build="sound_parts:SignTask",
            default_dataset="signs",
            default_metrics=("hits",),
            **COMMON,
        )
    ]


@hookimpl
def register_metric():
    return [MetricSpec(name="hits", measures="signs", build="sound_parts:Hits", **COMMON)]
