"""Classification, whatever the modality: the metrics, and the task that others build on."""

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

_SINGLE = [
    ("accuracy", "Share of samples whose most probable class is right", True),
    ("top5-accuracy", "Share of samples whose class is among the five most probable", True),
    ("precision", "Precision: macro, weighted, and of each class", True),
    ("recall", "Recall: macro, weighted, and of each class", True),
    ("f1", "F1: macro, weighted, and of each class", True),
    ("confusion-matrix", "Counts of samples by true (row) and predicted (column) class", True),
    ("roc-auc", "Area under the ROC curve, one class against the rest: macro and of each", True),
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
    ]
