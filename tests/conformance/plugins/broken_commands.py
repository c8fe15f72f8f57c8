"""Commands that break the contract in one way each."""

from mmft_core import CommandSpec, hookimpl

COMMANDS = {
    "a-function": "broken_command_parts:function",
    "heavy": "broken_heavy_command:heavy",
    "without-help": "broken_command_parts:silent",
    "silent-option": "broken_command_parts:option",
    "silent-subcommand": "broken_command_parts:group",
}


@hookimpl
def register_command() -> list[CommandSpec]:
    return [CommandSpec(name=n, summary="Broken.", build=path) for n, path in COMMANDS.items()]
