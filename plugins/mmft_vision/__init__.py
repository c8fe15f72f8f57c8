"""Images: torchvision's networks, image data sets, and image classification."""

from typing import Any

from mmft_classification import DEFAULT_METRICS, MULTI_LABEL
from mmft_core import BackboneSpec, DatasetSpec, TaskSpec, hookimpl
from mmft_core.data import TABLE_SUFFIXES

_CONVOLUTIONS: dict[str, Any] = {"from_scratch": {"engine.lr": 1e-3}}
"""From random weights, they learn too slowly in short runs with the engine's default."""
_MOBILE: dict[str, Any] = {"from_scratch": {"engine.lr": 3e-3}}
"""MobileNetV3 learns even more slowly; docs/results.md has the comparison."""
_TRANSFORMER: dict[str, Any] = {"defaults": {"engine.lr": 1e-4}}
"""Transformers diverge at the learning rates that suit convolutions."""

_BACKBONES = {
    "resnet18": ("ResNet-18 (He et al., 2015), 11 M parameters", _CONVOLUTIONS),
    "resnet34": ("ResNet-34 (He et al., 2015), 21 M parameters", _CONVOLUTIONS),
    "resnet50": ("ResNet-50 (He et al., 2015), 24 M parameters", _CONVOLUTIONS),
    "resnet101": ("ResNet-101 (He et al., 2015), 43 M parameters", _CONVOLUTIONS),
    "resnet152": ("ResNet-152 (He et al., 2015), 58 M parameters", _CONVOLUTIONS),
    "convnext-tiny": ("ConvNeXt-T (Liu et al., 2022), 28 M parameters", _TRANSFORMER),
    "convnext-base": ("ConvNeXt-B (Liu et al., 2022), 88 M parameters", _TRANSFORMER),
    "efficientnet-b0": ("EfficientNet-B0 (Tan and Le, 2019), 4 M parameters", _CONVOLUTIONS),
    "efficientnet-v2-s": ("EfficientNetV2-S (Tan and Le, 2021), 20 M parameters", _CONVOLUTIONS),
    "mobilenet-v3-large": (
        "MobileNetV3-Large (Howard et al., 2019), 4 M parameters",
        _MOBILE,
    ),
    "vit-b-16": ("ViT-B/16 (Dosovitskiy et al., 2020), 86 M parameters", _TRANSFORMER),
    "swin-t": ("Swin-T (Liu et al., 2021), 28 M parameters", _TRANSFORMER),
}
"""The summary of each network, and the settings that its spec recommends."""

_SMALL = {"backbone.image_size": 32, "engine.epochs": 15}
"""For data sets of small pictures, which the published size of 224 would only enlarge."""

_OPTIONS = {"emnist": "EmnistOptions"}
"""The options of published data sets that have more than the common ones."""

_PUBLISHED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "mnist": (
        "published:build_mnist",
        "MNIST (LeCun et al., 1998): 70,000 handwritten digits",
        {**_SMALL, "backbone.flip": False},
    ),
    "fashion-mnist": (
        "published:build_fashion_mnist",
        "Fashion-MNIST (Xiao et al., 2017): 70,000 pieces of clothing",
        _SMALL,
    ),
    "kmnist": (
        "published:build_kmnist",
        "Kuzushiji-MNIST (Clanuwat et al., 2018): 70,000 Japanese characters, 10 classes",
        {**_SMALL, "backbone.flip": False},
    ),
    "emnist": (
        "published:build_emnist",
        "EMNIST (Cohen et al., 2017): handwritten digits and letters",
        {**_SMALL, "backbone.flip": False},
    ),
    "svhn": (
        "published:build_svhn",
        "SVHN (Netzer et al., 2011): 99,289 digits from house numbers",
        {**_SMALL, "backbone.flip": False},
    ),
    "cifar10": (
        "published:build_cifar10",
        "CIFAR-10 (Krizhevsky, 2009): 60,000 pictures, 10 classes",
        _SMALL,
    ),
    "cifar100": (
        "published:build_cifar100",
        "CIFAR-100 (Krizhevsky, 2009): 60,000 pictures, 100 classes",
        _SMALL,
    ),
    "imagenet": (
        "imagenet:build",
        "ImageNet-1k (Russakovsky et al., 2015), from files that you have",
        {},
    ),
}


@hookimpl
def register_backbone() -> list[BackboneSpec]:
    return [
        BackboneSpec(
            name=name,
            summary=summary,
            modality="image",
            provides=("pooled", "sequence"),
            build=f"mmft_vision.backbones:build_{name.replace('-', '_')}",
            options="mmft_vision.options:ImageBackboneOptions",
            **recommended,
        )
        for name, (summary, recommended) in _BACKBONES.items()
    ]


@hookimpl
def register_dataset() -> list[DatasetSpec]:
    images: dict[str, Any] = {
        "modalities": ("image",),
        "targets": ("class",),
        "inspectors": {"image": "mmft_vision.inspection:ImageInspector"},
    }
    return [
        DatasetSpec(
            name="digits",
            summary="1,797 real handwritten digits of 8x8 pixels, part of scikit-learn",
            build="mmft_vision.digits:build",
            options="mmft_datasets.split_options:SplitOptions",
            bundled=True,
            defaults={"backbone.image_size": 32, "backbone.flip": False, "engine.epochs": 20},
            **images,
        ),
        DatasetSpec(
            name="image-folder",
            summary="A folder of class folders, or of train/, val/ and test/ with class folders",
            build="mmft_vision.image_folder:build",
            options="mmft_vision.options:ImageFolderOptions",
            opens=("/",),
            **images,
        ),
        DatasetSpec(
            name="image-table",
            summary="A table (CSV, JSON, Parquet, Excel): paths of pictures, and labels",
            build="mmft_vision.image_table:build",
            options="mmft_vision.options:ImageTableOptions",
            opens=TABLE_SUFFIXES,
            describe="mmft_vision.image_table:describe",
            **(images | {"targets": ("class", "labels", "none")}),
        ),
        *(
            DatasetSpec(
                name=name,
                summary=summary,
                build=f"mmft_vision.{build}",
                options=f"mmft_vision.options:{_OPTIONS.get(name, 'PublishedOptions')}",
                defaults=defaults,
                **images,
            )
            for name, (build, summary, defaults) in _PUBLISHED.items()
        ),
    ]


@hookimpl
def register_task() -> list[TaskSpec]:
    return [
        TaskSpec(
            name="image-cls",
            summary="Image classification: one class for each picture",
            modalities=("image",),
            target="class",
            predicts="classes",
            build="mmft_vision.classification:build",
            options="mmft_vision.options:ImageClassificationOptions",
            default_dataset="digits",
            default_metrics=("accuracy", "top5-accuracy", *DEFAULT_METRICS[1:]),
            monitor="accuracy",
            pipeline="image-classification",
        ),
        TaskSpec(
            name="image-multilabel",
            summary="Image classification with any number of labels for each picture",
            modalities=("image",),
            build="mmft_classification.multilabel:build",
            default_dataset="labelled-scenes",
            pipeline="image-classification",
            **MULTI_LABEL,
        ),
        TaskSpec(
            name="image-retrieval",
            summary="Image embeddings: pictures of one class are close together",
            modalities=("image",),
            target="class",
            predicts="embeddings",
            unseen_classes=True,
            build="mmft_vision.retrieval:build",
            options="mmft_vision.options:ImageRetrievalOptions",
            defaults={"engine.batch_size": 64},
            default_dataset="digits",
            default_metrics=("retrieval-recall", "map-r", "ndcg", "mrr"),
            monitor="retrieval-recall/at-1",
            pipeline="image-feature-extraction",
        ),
    ]
