"""Regression, whatever the modality: the metrics, and the task that others build on."""

from mmft_core import MetricSpec, hookimpl

DEFAULT_METRICS = ("mae", "rmse", "r2")
"""Of a regression task, whatever its modalities."""


@hookimpl
def register_metric() -> list[MetricSpec]:
    return [
        MetricSpec(
            name=name,
            summary=summary,
            build=f"mmft_regression.metrics:build_{name}",
            measures="numbers",
            higher_is_better=higher,
        )
        for name, summary, higher in (
            ("mae", "Mean absolute error, in the unit of the target", False),
            ("rmse", "Root of the mean squared error, in the unit of the target", False),
            ("r2", "Share of the target's variance that is explained", True),
        )
    ]
