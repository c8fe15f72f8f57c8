"""A finished run for others: a folder for a model hub, or a pip package."""

from mmft_core import CommandSpec, hookimpl


@hookimpl
def register_command() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="publish",
            summary="Publish a finished run, with a model card, to a folder or a model hub.",
            build="mmft_publish.publish_command:publish",
            section="Deployment",
        ),
        CommandSpec(
            name="package",
            summary="Package the backbone of a finished run for pip, under a new name.",
            build="mmft_publish.package_command:package",
            section="Deployment",
        ),
    ]
