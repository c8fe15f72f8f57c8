"""Metrics that each break the contract in one way; see `broken_metric_parts`."""

from mmft_core import MetricSpec, hookimpl

NAMES = (
    "not-a-metric",
    "tensor-figure",
    "infinite-figure",
    "no-figure",
    "averages-means",
    "drops-the-other",
    "unpicklable-state",
    "consumes-its-state",
    "remembers",
)


@hookimpl
def register_metric():
    return [
        MetricSpec(
            name=name,
            summary="Broken",
            measures="signs",
            build=f"broken_metric_parts:{name.title().replace('-', '')}",
        )
        for name in NAMES
    ]
