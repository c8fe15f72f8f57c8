"""`mmft suggest`: which backbone to choose, measured on the user's data and machine.

candidates.py   which backbones could do the task, each with its plan
measuring.py    one of them in a process of its own: weights, probe, speed, memory
probe.py        how well a linear model predicts the targets from features
"""

from mmft_core import CommandSpec, hookimpl


@hookimpl
def register_command() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="suggest",
            summary="Compare backbones on your data: accuracy, speed and memory.",
            build="mmft_suggest.command:suggest",
            section="Training",
        ),
    ]
