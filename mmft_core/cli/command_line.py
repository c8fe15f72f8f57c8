"""The command line: the core's commands, and those that plugins add."""

from __future__ import annotations

import atexit
import contextlib
import gc
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import click

from mmft_core import cpus
from mmft_core.cli.help_formatter import HelpFormatter
from mmft_core.cli.terminal import (
    echo,
    show_error,
    show_traceback,
    show_usage_error,
    use_utf8,
)
from mmft_core.config.options import RenamedOptionWarning
from mmft_core.discovery import discover
from mmft_core.distributed import comm
from mmft_core.distributed.failure_propagation import fail_together
from mmft_core.errors import (
    ConfigError,
    ElsewhereError,
    MmftError,
    PluginError,
    UnknownComponentError,
    did_you_mean,
    first_line,
)
from mmft_core.registry import Component, Registry
from mmft_core.specs import CommandSpec, resolve
from mmft_core.utils.memory_errors import out_of_memory
from mmft_core.utils.safe_path import safe_path

_REGISTRY = "mmft.registry"
"""Where click's context keeps what is installed."""

CORE = {
    "run": CommandSpec(
        name="run",
        summary="Fine-tune a backbone on a data set, and evaluate it.",
        build="mmft_core.cli.run:run",
        section="Commands",
        distributed=True,
    ),
    "eval": CommandSpec(
        name="eval",
        summary="Evaluate a finished run on its own test data or on other data.",
        build="mmft_core.cli.eval:evaluate",
        section="Commands",
    ),
    "predict": CommandSpec(
        name="predict",
        summary="Make predictions for files, folders and texts with a finished run.",
        build="mmft_core.cli.predict:predict",
        section="Commands",
    ),
    "plugins": CommandSpec(
        name="plugins",
        summary="List the installed components, such as backbones, datasets and tasks.",
        build="mmft_core.cli.plugins:plugins",
        section="Commands",
    ),
}
"""The core's own commands, whose names plugins cannot take. All others come from plugins."""


class PluginGroup(click.Group):
    """Offers the core's commands and those of plugins, each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_commands(_registry(ctx)))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        load: Callable[[], Any]
        if cmd_name in CORE:
            spec = CORE[cmd_name]
            load = partial(resolve, spec.build)
        else:
            component = _command(_registry(ctx), cmd_name)
            spec, load = component.spec, component.load
        if comm.count() > 1 and not spec.distributed:
            raise ConfigError(
                f"`mmft {cmd_name}` runs in a single process, but {comm.count()} were started.",
                hint="Start it without torchrun or accelerate launch.",
            )
        command = load()
        if not isinstance(command, click.Command):
            raise PluginError(f"Command '{cmd_name}': {spec.build!r} is not a click command.")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0].startswith("-"):
            return super().resolve_command(ctx, args)  # No such option, as click says.
        return args[0], self.get_command(ctx, args[0]), args[1:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        registry = _registry(ctx)
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, spec in _commands(registry).items():
            sections.setdefault(spec.section, []).append((name, spec.summary))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl(rows)
        if registry.failures:
            formatter.write_paragraph()
            formatter.write_text("Some plugins are broken; `mmft plugins` says which, and why.")


def _registry(ctx: click.Context) -> Registry:
    """What is installed, looked up once a call."""
    if _REGISTRY not in ctx.meta:
        ctx.meta[_REGISTRY] = discover()
    registry: Registry = ctx.meta[_REGISTRY]
    return registry


def _commands(registry: Registry) -> dict[str, CommandSpec]:
    """All commands by what the user types: "plugin/name" where the bare name is not unique."""
    added = [registry.get(CommandSpec, c.qualified) for c in registry.of(CommandSpec)]
    names = Counter((*CORE, *(c.name for c in added)))
    return CORE | {c.name if names[c.name] == 1 else c.qualified: c.spec for c in added}


def _command(registry: Registry, name: str) -> Component[CommandSpec]:
    try:
        return registry.get(CommandSpec, name)
    except UnknownComponentError:
        broken = ", ".join(f"{f.plugin} ({f.cause})" for f in registry.failures)
        belongs = f" It may belong to a plugin that did not load: {broken}." if broken else ""
        raise ConfigError(
            f"There is no command '{name}'.{did_you_mean(name, _commands(registry))}{belongs}",
            hint="`mmft --help` lists them.",
        ) from None


@click.group(cls=PluginGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mmft", message="mmft %(version)s")
def cli() -> None:
    """Fine-tune multi-modal models.

    \b
    mmft run --task image-cls --backbone resnet50 --dataset ./photos
    """


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; mistakes of the user end in one sentence and exit code 2."""
    use_utf8()
    click.Context.formatter_class = HelpFormatter  # For the commands of plugins as well.
    # At exit Python looks for garbage among all objects of torch, which takes half a second.
    atexit.register(gc.freeze)
    cpus.let_waiting_threads_sleep()
    try:
        with safe_path(), fail_together(), _notices():
            cli.main(arguments, prog_name="mmft", standalone_mode=False)
        comm.leave()
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
        if comm.is_main():
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


@contextlib.contextmanager
def _notices() -> Iterator[None]:
    """Say in a line of its own, once, that an option has another name now."""
    said: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, RenamedOptionWarning):
            others(message, category, *place, **more)
        elif str(message) not in said and comm.is_main():
            said.add(str(message))
            echo(f"! {message}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("always", RenamedOptionWarning)
        others, warnings.showwarning = warnings.showwarning, show
        yield


def _name_plugin(error: Exception) -> None:
    """Have the traceback of a bug end with the plugin that it is in, unless it is one of mmft's."""
    import importlib.metadata

    from mmft_core.hookspecs import PROJECT
    from mmft_core.plugin_errors import note_plugin

    points = importlib.metadata.entry_points(group=PROJECT)
    note_plugin(error, [p for p in points if p.dist is None or p.dist.name != PROJECT])


def fail(message: str, hint: str | None = None) -> None:
    """Print an error and what to do about it, and exit with 2."""
    show_error(message, hint)
    sys.exit(2)
