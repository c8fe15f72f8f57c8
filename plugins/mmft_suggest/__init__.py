"""Which backbone fits the data."""

from mmft_core import CommandSpec, hookimpl


@hookimpl
def register_command() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="suggest",
            summary="Compare backbones on your data: accuracy, speed and memory.",
            build="mmft_core.cli.suggest:suggest",
            section="Training",
        ),
    ]
