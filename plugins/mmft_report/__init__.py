"""What is seen of runs: their report, and how they compare."""

from mmft_core import CommandSpec, hookimpl


@hookimpl
def register_command() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="runs",
            summary="List and compare runs.",
            build="mmft_report.runs_command:runs",
            section="Training",
        ),
    ]
