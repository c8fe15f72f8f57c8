"""Runs in several processes, on one machine or many."""

from mmft_core import CommandSpec, hookimpl


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
