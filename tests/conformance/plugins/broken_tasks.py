"""Tasks that each break the contract in one way; see `broken_task_parts`."""

from mmft_core import TaskSpec, hookimpl

NAMES = (
    "not-a-task",
    "no-backbones",
    "unpicklable-codec",
    "vector-loss",
    "infinite-loss",
    "detached-loss",
    "summed-loss",
    "idle-parameter",
    "loss-without-targets",
    "silent",
    "peeking",
    "too-few-records",
    "tensor-in-record",
    "nan-in-record",
    "short-ranking",
    "learns-nothing",
    "encodes-itself",
    "reads-in-secret",
    "unseeded-noise",
    "forgetful",
    "counted-batch",
)


@hookimpl
def register_task():
    return [
        TaskSpec(
            name=name,
            summary="Broken",
            modalities=("numbers",),
            target="class",
            predicts="broken signs",
            build=f"broken_task_parts:{name.title().replace('-', '')}",
            default_dataset="sound/signs",
        )
        for name in NAMES
    ]
