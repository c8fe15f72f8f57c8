"""Whether parts fit together, told from specs alone."""

from __future__ import annotations

import pytest

from mmft_core import ANY_MODALITIES, BackboneSpec, Component, DatasetSpec, MetricSpec, Registry
from mmft_core import TaskSpec as Task
from mmft_core.config.compat import check
from mmft_core.errors import IncompatibleError

COMMON = {"summary": "", "build": "a:b"}


def backbone(modality: str, *provides: str) -> BackboneSpec:
    name = f"{modality}net"
    return BackboneSpec(name=name, modality=modality, provides=provides or ("pooled",), **COMMON)


def dataset(*modalities: str, target: str = "class") -> DatasetSpec:
    return DatasetSpec(
        name="-".join(modalities), modalities=modalities, targets=(target,), **COMMON
    )


def task(*modalities: str, **changes: object) -> Task:
    values = {"target": "class", "predicts": "classes", **COMMON, **changes}
    return Task(name="task", modalities=modalities, **values)


def metric(measures: str) -> MetricSpec:
    return MetricSpec(name=f"of-{measures}", measures=measures, **COMMON)


REGISTRY = Registry(
    tuple(
        Component(spec=spec, plugin="p", distribution="d", version="1")
        for spec in (
            *map(backbone, ("image", "text", "audio")),
            BackboneSpec(name="detector", modality="image", provides=("boxes",), **COMMON),
            dataset("image"),
            dataset("image", "text"),
            metric("classes"),
            metric("text"),
        )
    )
)


def run(task: Task, backbones: list[BackboneSpec], dataset: DatasetSpec, *metrics) -> None:
    check(task, {b.modality: b for b in backbones}, dataset, metrics, REGISTRY)


IMAGE, TEXT = backbone("image"), backbone("text")


@pytest.mark.parametrize(
    "task, backbones, dataset",
    [
        (task("image"), [IMAGE], dataset("image")),
        (task("image"), [IMAGE], dataset("image", "text")),  # The texts are not read.
        (task("image", "text"), [IMAGE, TEXT], dataset("image", "text")),
        (task(*ANY_MODALITIES), [TEXT], dataset("text")),
        (task(*ANY_MODALITIES), [IMAGE, TEXT], dataset("image", "text")),
        (
            task("image", needs=("pooled", "sequence")),
            [backbone("image", "sequence", "pooled")],
            dataset("image"),
        ),
    ],
)
def test_what_fits(task: Task, backbones, dataset) -> None:
    run(task, backbones, dataset, metric("classes"))


@pytest.mark.parametrize(
    "task, backbones, dataset, sentence",
    [
        (
            task("image"),
            [TEXT],
            dataset("image"),
            r"'task' works on image, but backbone 'textnet' reads text\. .*fit: imagenet\.",
        ),
        (
            task("image", "text"),
            [IMAGE],
            dataset("image", "text"),
            r"'task' needs a backbone for text\. These would fit: textnet\.",
        ),
        (task("image"), [IMAGE, TEXT], dataset("image"), "works on image, but backbone 'textnet'"),
        (
            task("image", needs=("pooled", "sequence")),
            [IMAGE],
            dataset("image"),
            "needs sequence from its image backbone, but 'imagenet' provides pooled",
        ),
        (
            task("image"),
            [IMAGE],
            dataset("text"),
            "reads image, but dataset 'text' holds text. These would fit: image, image-text.",
        ),
        (
            task(*ANY_MODALITIES),
            [IMAGE, TEXT],
            dataset("image"),
            r"reads image and text, but dataset 'image' holds image\. .*fit: image-text\.",
        ),
        (
            task("image"),
            [IMAGE],
            dataset("image", target="text"),
            "learns from targets of type class, but those of dataset 'image' are of type text",
        ),
    ],
)
def test_what_does_not_fit_and_what_would(task: Task, backbones, dataset, sentence: str) -> None:
    with pytest.raises(IncompatibleError, match=sentence):
        run(task, backbones, dataset)


def test_a_metric_of_other_predictions() -> None:
    with pytest.raises(IncompatibleError, match=r"'of-text' measures text.*fit: of-classes\."):
        run(task("image"), [IMAGE], dataset("image"), metric("classes"), metric("text"))
