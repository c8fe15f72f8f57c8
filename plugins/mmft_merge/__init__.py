"""`mmft merge`: merge several models that were fine-tuned from the same weights into one."""

from mmft_core import CommandSpec, hookimpl


@hookimpl
def register_command() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="merge",
            summary="Merge runs that share their base weights into one model.",
            build="mmft_merge.command:merge",
            section="Deployment",
        )
    ]
