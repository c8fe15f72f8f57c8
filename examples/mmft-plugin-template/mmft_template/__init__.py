"""A plugin for mmft: one component of each kind.

This module only says what there is. What does the work is named by path, and imported when used.
"""

from mmft_core import BackboneSpec, DatasetSpec, MetricSpec, TaskSpec, hookimpl


@hookimpl
def register_backbone() -> list[BackboneSpec]:
    return [
        BackboneSpec(
            name="tiny-cnn",
            summary="Three convolutions, 24,000 parameters",
            modality="image",
            provides=("pooled", "sequence"),
            build="mmft_template.tiny_cnn:TinyCnn",
            options="mmft_template.options:TinyCnnOptions",
            defaults={"engine.lr": 3e-3},
        )
    ]


@hookimpl
def register_dataset() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="photo-patches",
            summary="520 patches of scikit-learn's two sample photos: temple or flower?",
            modalities=("image",),
            targets=("class",),
            build="mmft_template.photo_patches:build",
            options="mmft_template.options:PhotoPatchesOptions",
            bundled=True,
            defaults={"backbone.image_size": 32, "engine.epochs": 5},
        )
    ]


@hookimpl
def register_task() -> list[TaskSpec]:
    return [
        TaskSpec(
            name="prototype-cls",
            summary="Image classification by the nearest learned prototype (Snell et al., 2017)",
            modalities=("image",),
            target="class",
            predicts="classes",
            build="mmft_template.prototypes:PrototypeClassification",
            options="mmft_template.options:PrototypeOptions",
            default_dataset="photo-patches",
            default_metrics=("balanced-accuracy", "accuracy"),
            monitor="balanced-accuracy",
        )
    ]


@hookimpl
def register_metric() -> list[MetricSpec]:
    return [
        MetricSpec(
            name="balanced-accuracy",
            summary="Mean over the classes of the share of their samples that is right",
            measures="classes",
            build="mmft_template.balanced_accuracy:BalancedAccuracy",
        )
    ]
