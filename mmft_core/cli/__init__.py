"""The command line. Each command's module is imported only when it is called."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from mmft_core.cli.terminal import (
    echo,
    show_error,
    show_traceback,
    show_usage_error,
    use_utf8,
)
from mmft_core.distributed import processes
from mmft_core.distributed.fate import one_fate
from mmft_core.errors import ConfigError, ElsewhereError, MmftError, did_you_mean, first_line
from mmft_core.memory_errors import out_of_memory
from mmft_core.safe_path import safe_path

COMMANDS = {
    "run": "mmft_core.cli.run:run",
    "launch": "mmft_core.cli.launch:launch",
    "suggest": "mmft_core.cli.suggest:suggest",
    "sweep": "mmft_core.cli.sweep:sweep",
    "runs": "mmft_core.cli.runs:runs",
    "eval": "mmft_core.cli.eval:evaluate",
    "predict": "mmft_core.cli.predict:predict",
    "index": "mmft_core.cli.index:index",
    "search": "mmft_core.cli.search:search",
    "data": "mmft_core.cli.data:data",
    "export": "mmft_core.cli.export:export",
    "serve": "mmft_core.cli.serve:serve",
    "publish": "mmft_core.cli.publish:publish",
    "package": "mmft_core.cli.package:package",
    "plugins": "mmft_core.cli.plugins:plugins",
    "new-plugin": "mmft_core.cli.new_plugin:new_plugin",
}
TOGETHER = ("run",)
"""Commands that several processes may do together."""

SUMMARIES = {
    "run": "Fine-tune a backbone on a data set, evaluate it, and keep all of it in a folder.",
    "launch": "Start a run in several processes, on one machine or many; write job files.",
    "suggest": "Compare backbones on your own data: what they know, how fast they train.",
    "sweep": "Tune settings: run many trials, guided by Optuna, and keep the best.",
    "runs": "List and compare the runs that are there.",
    "eval": "Evaluate a finished run, on its own test data or on other data.",
    "predict": "Let a finished run predict files, folders and texts.",
    "index": "Embed a library of files, to be searched in milliseconds.",
    "search": "Find what in an index is most like a file or a text.",
    "data": "Check a data set before anything is trained, clean it, divide it.",
    "export": "Write a finished run as ONNX and the like, and compare it with the run.",
    "serve": "Serve a finished run over HTTP, with a page to try it on.",
    "publish": "Make a folder of a finished run for a model hub, with a card, and push it.",
    "package": "Make a pip package of a finished run: its backbone, under a name of its own.",
    "plugins": "Show the backbones, datasets, tasks and metrics that are installed.",
    "new-plugin": "Write the package of a new plugin, which works as it is.",
}


class LazyGroup(click.Group):
    """A group whose commands are imported on use, and whose help needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        if processes.count() > 1 and cmd_name not in TOGETHER:
            raise ConfigError(
                f"`mmft {cmd_name}` is done by one process, and {processes.count()} were started.",
                hint="Start it without torchrun or accelerate launch.",
            )
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise ConfigError(
                f"There is no command '{args[0]}'.{did_you_mean(args[0], COMMANDS)}",
                hint="`mmft --help` lists them.",
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mmft", message="mmft %(version)s")
def cli() -> None:
    """Fine-tune multi-modal models.

    \b
    mmft run --task image-cls --backbone resnet50 --dataset ./photos
    """


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; mistakes of the user end in one sentence and exit code 2."""
    use_utf8()
    try:
        with safe_path(), one_fate():
            cli.main(arguments, prog_name="mmft", standalone_mode=False)
        processes.leave()
    except ElsewhereError:
        sys.exit(2)
    except MmftError as error:
        fail(error.message, error.hint)
    except click.exceptions.Exit as exit_request:
        sys.exit(exit_request.exit_code)
    except click.ClickException as error:
        show_usage_error(error)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        if processes.is_main():
            echo("Aborted.", err=True)
        sys.exit(130)
    except Exception as error:
        if out_of_memory(error):
            fail(
                f"Memory ran out: {first_line(error)}.",
                "Give a smaller --batch-size, smaller inputs, or a smaller backbone.",
            )
        _name_plugin(error)
        sys.excepthook = show_traceback
        raise


def _name_plugin(error: Exception) -> None:
    """Have the traceback of a bug end with the plugin that it is in, if mmft did not bring it."""
    import importlib.metadata

    from mmft_core.blame import note_plugin
    from mmft_core.hookspecs import PROJECT

    points = importlib.metadata.entry_points(group=PROJECT)
    note_plugin(error, [p for p in points if p.dist is None or p.dist.name != PROJECT])


def fail(message: str, hint: str | None = None) -> None:
    """Print an error and what to do about it, and exit with 2."""
    show_error(message, hint)
    sys.exit(2)
