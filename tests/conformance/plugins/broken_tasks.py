"""Tasks that each break the contract in one way; see `broken_task_parts`."""

from mmft_core import TaskSpec, hookimpl

NAMES = (
    "not-a-task",
    "no-backbones",
    "unpicklable-codec",
    "vector-loss",
    "infinite-loss",
    "another-loss-alone",
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
    "looks-at-weights",
    "tuple",
    "counted-batch",
)
DEFAULTS = {
    "unknown-dataset": {"default_dataset": "sound/sings"},
    "unknown-metric": {"default_metrics": ("shaer",)},
    "unmeasured-monitor": {"monitor": "share/of-signs"},
}
"""What a bare run would choose, and could not."""


@hookimpl
def register_task():
    return [
        TaskSpec(
            name=name,
            summary="Broken",
            modalities=("numbers",),
            target="class",
            predicts="broken signs",
            build="sound_parts:SignTask"
            if name in DEFAULTS
            else f"broken_task_parts:{name.title().replace('-', '')}",
            **{"default_dataset": "sound/signs", **DEFAULTS.get(name, {})},
        )
        for name in (*NAMES, *DEFAULTS)
    ]
