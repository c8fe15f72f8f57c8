"""Retrieval, whatever the modality: metrics, losses, and the tasks that others build on."""

from mmft_core import MetricSpec, hookimpl

_METRICS = [
    ("retrieval-recall", "Share of queries with a relevant item among the first 1, 5 and 10"),
    ("map-r", "Mean average precision at R (Musgrave et al., 2020)"),
    ("ndcg", "Normalised discounted cumulative gain (Järvelin and Kekäläinen, 2002)"),
    ("mrr", "Mean reciprocal rank of the first relevant item"),
]


@hookimpl
def register_metric() -> list[MetricSpec]:
    return [
        MetricSpec(
            name=name,
            summary=summary,
            build=f"mmft_retrieval.metrics:build_{name.replace('-', '_')}",
            measures="embeddings",
        )
        for name, summary in _METRICS
    ]
