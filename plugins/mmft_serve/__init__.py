"""A finished run behind HTTP."""

from mmft_core import CommandSpec, hookimpl


@hookimpl
def register_command() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="serve",
            summary="Serve a finished run over HTTP, with a page to try it out.",
            build="mmft_core.cli.serve:serve",
            section="Deployment",
            extras=("serve",),
        ),
    ]
