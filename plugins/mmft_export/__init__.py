"""Formats in which a finished run is used elsewhere."""

from mmft_core import CommandSpec, hookimpl


@hookimpl
def register_command() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="export",
            summary="Export a finished run to ONNX and other formats, and verify the export.",
            build="mmft_core.cli.export:export",
            section="Deployment",
        ),
    ]
