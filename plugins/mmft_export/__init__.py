"""Formats in which a finished run is used elsewhere."""

from mmft_core import CommandSpec, hookimpl


@hookimpl
def register_command() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="export",
            summary="Write a finished run as ONNX and the like, and compare it with the run.",
            build="mmft_core.cli.export:export",
            section="Deployment",
        ),
    ]
