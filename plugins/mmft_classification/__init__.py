"""Classification, whatever the modality: the metrics, and the task that others build on."""

from typing import Any

from mmft_core import MetricSpec, hookimpl

DEFAULT_METRICS = (
    "accuracy",
    "precision",
    "recall",
    "f1",
    "confusion-matrix",
    "roc-auc",
    "calibration-error",
)
"""Of a classification task, whatever its modality."""

MULTI_LABEL: dict[str, Any] = {
    "target": "labels",
    "predicts": "labels",
    "options": "mmft_classification.options:MultiLabelOptions",
    "default_metrics": ("multilabel-map", "multilabel-f1"),
    "monitor": "multilabel-map/macro",
}
"""What the spec of a multi-label task has, whatever its modality."""

_SINGLE = [
    ("accuracy", "Share of samples whose most probable class is right", True),
    ("top5-accuracy", "Share of samples whose class is among the five most probable", True),
    ("precision", "Precision: macro, weighted, and of each class", True),
    ("recall", "Recall: macro, weighted, and of each class", True),
    ("f1", "F1: macro, weighted, and of each class", True),
    ("confusion-matrix", "Counts of samples by true (row) and predicted (column) class", True),
    ("roc-auc", "Area under the ROC curve, one-vs-rest: macro, and of each class", True),
    ("calibration-error", "Expected calibration error (Naeini et al., 2015), 15 bins", False),
]


@hookimpl
def register_metric() -> list[MetricSpec]:
    return [
        MetricSpec(
            name=name,
            summary=summary,
            build=f"mmft_classification.metrics:build_{name.replace('-', '_')}",
            measures="classes",
            higher_is_better=higher,
        )
        for name, summary, higher in _SINGLE
    ] + [
        MetricSpec(
            name="multilabel-map",
            summary="Mean average precision over labels (macro), and that of each label",
            build="mmft_classification.multilabel_metrics:build_map",
            measures="labels",
        ),
        MetricSpec(
            name="multilabel-f1",
            summary="F1 at the labels' thresholds: macro, micro, weighted, and of each label",
            build="mmft_classification.multilabel_metrics:build_f1",
            measures="labels",
        ),
    ]
