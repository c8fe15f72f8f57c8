"""A finished run for others: a folder for a model hub, or a pip package."""

from mmft_core import CommandSpec, hookimpl


@hookimpl
def register_command() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="publish",
            summary="Make a folder of a finished run for a model hub, with a card, and push it.",
            build="mmft_core.cli.publish:publish",
            section="Deployment",
        ),
        CommandSpec(
            name="package",
            summary="Make a pip package of a finished run: its backbone, under a name of its own.",
            build="mmft_core.cli.package:package",
            section="Deployment",
        ),
    ]
