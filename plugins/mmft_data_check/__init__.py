"""What is wrong with data, found before they are trained on."""

from mmft_core import CommandSpec, hookimpl


@hookimpl
def register_command() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="data",
            summary="Check a data set before training, clean it, or split it.",
            build="mmft_core.cli.data:data",
            section="Data",
        ),
    ]
