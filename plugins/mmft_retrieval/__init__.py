"""Retrieval, whatever the modality: metrics, losses, and the tasks that others build on."""

from mmft_core import ANY_MODALITIES, MetricSpec, TaskSpec, hookimpl

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
    ] + [
        MetricSpec(
            name="pair-recall",
            summary="Share of samples whose partner is among the 1, 5 or 10 nearest",
            build="mmft_retrieval.metrics:build_pair_recall",
            measures="pairs",
        )
    ]


@hookimpl
def register_task() -> list[TaskSpec]:
    return [
        TaskSpec(
            name="contrastive",
            summary="Two modalities embedded in one space, as in CLIP",
            modalities=ANY_MODALITIES,
            count=(2, 2),
            target="pair",
            predicts="pairs",
            unseen_classes=True,
            build="mmft_retrieval.contrastive:build",
            options="mmft_retrieval.options:ContrastiveOptions",
            defaults={
                "engine.lr": 5e-5,
                "engine.head_lr": 1e-3,
                "engine.weight_decay": 0.05,
                "engine.batch_size": 128,
            },
            from_scratch={"engine.lr": 1e-3, "engine.head_lr": "none"},
            default_dataset="digit-scenes",
            default_metrics=("pair-recall",),
            monitor="pair-recall/at-1",
        )
    ]
