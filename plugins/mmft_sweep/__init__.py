"""Search for the best settings."""

from mmft_core import CommandSpec, hookimpl


@hookimpl
def register_command() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="sweep",
            summary="Tune settings with Optuna: run many trials and keep the best.",
            build="mmft_core.cli.sweep:sweep",
            section="Training",
            extras=("sweep",),
        ),
    ]
