"""Runs in several processes, on one machine or many. `launcher` has what an author of one needs."""

from mmft_core import CommandSpec, LauncherSpec, hookimpl


@hookimpl
def register_command() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="launch",
            summary="Start a run in several processes or on several machines, or write a job file.",
            build="mmft_launch.command:launch",
            section="Training",
        ),
    ]


@hookimpl
def register_launcher() -> list[LauncherSpec]:
    return [
        LauncherSpec(
            name="torchrun",
            summary="Processes on this machine, or on several that get the same command",
            build="mmft_launch.torchrun:Torchrun",
        ),
        LauncherSpec(
            name="slurm",
            summary="A job script for SLURM",
            build="mmft_launch.slurm:Slurm",
            options="mmft_launch.options:SlurmOptions",
        ),
        LauncherSpec(
            name="kubernetes",
            summary="A TrainJob of Kubeflow's trainer, for Kubernetes",
            build="mmft_launch.kubernetes:TrainJob",
            options="mmft_launch.options:KubernetesOptions",
        ),
        LauncherSpec(
            name="jobset",
            summary="A JobSet, for Kubernetes without Kubeflow",
            build="mmft_launch.kubernetes:JobSet",
            options="mmft_launch.options:JobSetOptions",
        ),
    ]
