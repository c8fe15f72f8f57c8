"""The start of a new plugin."""

from mmft_core import CommandSpec, hookimpl


@hookimpl
def register_command() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="new-plugin",
            summary="Write a new plugin package that works from the start.",
            build="mmft_scaffold.command:new_plugin",
            section="Plugin development",
        ),
    ]
