"""`mmft merge`: one model of several that were fine-tuned from the same weights."""

from mmft_core import CommandSpec, hookimpl


@hookimpl
def register_command() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="merge",
            summary="Merge runs of the same base weights into one model.",
            build="mmft_merge.command:merge",
            section="Deployment",
        )
    ]
