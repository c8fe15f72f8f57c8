"""Tuning settings: each trial is an ordinary run; Optuna chooses its settings from a space.

    space       `--vary KEY=RANGE`: which settings, and over what
    folder      the sweep's folder: what it was started with, and where its trials are
    fitting     whether they fit the run that they vary
    proposals   what Optuna chooses from, and how
    study       who tries what next, for any number of processes at once
    trial       one run, which reports every validation and is stopped if it is hopeless
    work        trial after trial
    record      trials.json and best.toml
    page        report.html
    jobs        further processes

Only this package needs Optuna (Akiba et al., 2019, "Optuna: a next-generation hyperparameter
optimization framework").
"""

from mmft_core import CommandSpec, hookimpl


@hookimpl
def register_command() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="sweep",
            summary="Tune settings with Optuna: run many trials and keep the best.",
            build="mmft_sweep.command:sweep",
            section="Training",
            extras=("sweep",),
        ),
    ]
