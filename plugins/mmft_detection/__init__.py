"""Object detection: boxes with classes in pictures, by torchvision's and other detectors."""

from typing import Any

from mmft_core import BackboneSpec, DatasetSpec, MetricSpec, TaskSpec, hookimpl

_TORCHVISION = {
    "retinanet-tiny": (
        "RetinaNet of 1 M parameters, for small data sets and random weights",
        {"backbone.image_size": 256},
    ),
    "ssdlite320-mobilenet-v3-large": (
        "SSDLite with MobileNetV3-Large (Sandler et al., 2018), 3 M parameters",
        {"backbone.image_size": 320},
    ),
    "retinanet-resnet50-fpn": (
        "RetinaNet with ResNet-50 and FPN (Lin et al., 2017), 34 M parameters",
        {},
    ),
    "fcos-resnet50-fpn": ("FCOS with ResNet-50 and FPN (Tian et al., 2019), 32 M parameters", {}),
    "fasterrcnn-resnet50-fpn": (
        "Faster R-CNN with ResNet-50 and FPN (Ren et al., 2015), 42 M parameters",
        {},
    ),
}

_TRANSFORMERS = {
    "rt-detr-r18": "RT-DETR with ResNet-18 (Zhao et al., 2023), 20 M parameters",
    "rt-detr-r50": "RT-DETR with ResNet-50 (Zhao et al., 2023), 43 M parameters",
    "d-fine-l": "D-FINE-L (Peng et al., 2024), 31 M parameters",
    "hub-detector": "Any RT-DETR or D-FINE, from a folder or Hub id given by --weights",
}

_SMALL_BATCHES = {"engine.batch_size": 8}


@hookimpl
def register_backbone() -> list[BackboneSpec]:
    common: dict[str, Any] = {"modality": "image", "provides": ("detection",)}
    return [
        *(
            BackboneSpec(
                name=name,
                summary=summary,
                build=f"mmft_detection.torchvision_detectors:build_{name.replace('-', '_')}",
                options="mmft_detection.options:TorchvisionDetectorOptions",
                defaults={"engine.lr": 1e-4, **_SMALL_BATCHES, **defaults},
                from_scratch={"engine.lr": 1e-3},
                **common,
            )
            for name, (summary, defaults) in _TORCHVISION.items()
        ),
        *(
            BackboneSpec(
                name=name,
                summary=summary,
                build=f"mmft_detection.transformers_detectors:build_{name.replace('-', '_')}",
                options="mmft_detection.options:TransformersDetectorOptions",
                defaults={"engine.lr": 1e-4, "engine.clip_norm": 0.1, **_SMALL_BATCHES},
                from_scratch={"engine.lr": 5e-4},
                **common,
            )
            for name, summary in _TRANSFORMERS.items()
        ),
    ]


@hookimpl
def register_dataset() -> list[DatasetSpec]:
    common: dict[str, Any] = {
        "modalities": ("image",),
        "targets": ("boxes", "none"),
        "inspectors": {"image": "mmft_vision.inspection:ImageInspector"},
    }
    return [
        DatasetSpec(
            name="detection-digits",
            summary="Scenes of real handwritten digits on noise, with a box around each",
            build="mmft_detection.digit_boxes:build",
            options="mmft_detection.options:DigitBoxesOptions",
            bundled=True,
            defaults={
                "backbone.image_size": 96,
                "backbone.size": "tiny",
                "task.flip": False,
                "engine.batch_size": 16,
                "engine.epochs": 10,
            },
            **common,
        ),
        DatasetSpec(
            name="detection-folder",
            summary="A folder of pictures with boxes in COCO, YOLO or Pascal VOC format",
            build="mmft_detection.folder:build",
            options="mmft_detection.options:DetectionFolderOptions",
            describe="mmft_detection.folder:describe",
            opens=("/",),
            **common,
        ),
    ]


@hookimpl
def register_task() -> list[TaskSpec]:
    return [
        TaskSpec(
            name="detection",
            summary="Object detection: a box and a class for each object in a picture",
            modalities=("image",),
            target="boxes",
            needs=("detection",),
            predicts="boxes",
            build="mmft_detection.task:Detection",
            options="mmft_detection.options:DetectionOptions",
            default_dataset="detection-digits",
            default_metrics=("detection-map",),
            monitor="detection-map",
            pipeline="object-detection",
        )
    ]


@hookimpl
def register_metric() -> list[MetricSpec]:
    return [
        MetricSpec(
            name="detection-map",
            summary="Mean average precision of boxes as COCO defines it, by pycocotools",
            measures="boxes",
            build="mmft_detection.metric:MeanAveragePrecision",
            extras=("detection",),
        )
    ]
