"""Experiment trackers, which show the metrics of many runs: TensorBoard, MLflow, Weights & Biases.

    options      where each of them keeps runs
    tracker      what they share: they follow `metrics.jsonl`
    identity     by what name and in what group a run is known
    tensorboard, mlflow, wandb      one each

`metrics.jsonl` is the truth, and trackers are told what it holds. A training that resumes tells
them what they lack, and nothing twice.
"""

from mmft_core import CallbackSpec, hookimpl


@hookimpl
def register_callback() -> list[CallbackSpec]:
    return [
        CallbackSpec(
            name="tensorboard",
            summary="TensorBoard: event files in the run directory",
            build="mmft_trackers.tensorboard:TensorboardTracker",
            extras=("tensorboard",),
        ),
        CallbackSpec(
            name="mlflow",
            summary="MLflow: a database beside the runs, or a server",
            build="mmft_trackers.mlflow:MlflowTracker",
            options="mmft_trackers.options:MlflowOptions",
            extras=("mlflow",),
        ),
        CallbackSpec(
            name="wandb",
            summary="Weights & Biases: its server, or files to upload later",
            build="mmft_trackers.wandb:WandbTracker",
            options="mmft_trackers.options:WandbOptions",
            extras=("wandb",),
        ),
    ]
