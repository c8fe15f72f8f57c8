"""Printing lines to a terminal, with control characters in text from others escaped.

Commands print lines with `echo` and `echo_data`, and tables with `mmft_core.cli.tables`. Nothing
else prints, as a test checks, so no name, label or message reaches the terminal unescaped.
"""

from __future__ import annotations

import codecs
import io
import sys
import traceback
from types import TracebackType
from typing import IO, Any, cast

import click

from mmft_core.utils.escaping import escape, escape_data, escape_message
from mmft_core.utils.files import json_text


class Styled(str):
    """Text that is escaped already, with escape sequences of our own. `styled` makes it."""

    __slots__ = ()


def styled(text: str, **style: Any) -> Styled:
    """Text in a style of `click.style`."""
    return Styled(click.style(escape_message(text), **style))


def joined(*parts: str) -> Styled:
    """Join texts into one, escaping those that are not styled yet."""
    return Styled("".join(p if isinstance(p, Styled) else escape_message(p) for p in parts))


def echo(*parts: str, err: bool = False) -> None:
    """Print a line of parts."""
    click.echo(joined(*parts), err=err)


def remark_hidden(hidden: object) -> None:
    """Print a remark about hidden files that were skipped, if there were any."""
    if str(hidden):
        say(f"skipped {hidden}")


def say(text: str) -> None:
    """Print a remark to stderr."""
    echo(f"! {text}", err=True)


def echo_data(text: str, *, nl: bool = True) -> None:
    """Print JSON or TOML, whose meaning stays the same."""
    click.echo(escape_data(text), nl=nl)


def echo_json(value: Any, **settings: Any) -> None:
    """Print JSON, with settings of `json_text`."""
    click.echo(dump_json(value, **settings))


def dump_json(value: Any, **settings: Any) -> str:
    """JSON by `json_text`, harmless in a terminal and the same to programs."""
    return escape_data(json_text(value, **settings))


def use_utf8() -> None:
    """Have standard output take any character, whatever the locale is.

    Files and programs get UTF-8; a terminal gets escape sequences for what it cannot show.
    """
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper) and codecs.lookup(out.encoding).name != "utf-8":
        if out.isatty():
            out.reconfigure(errors="backslashreplace")
        else:
            out.reconfigure(encoding="utf-8")


def show_error(message: str, hint: str | None = None) -> None:
    """Print an error and what to do about it."""
    echo(styled("error: ", fg="red", bold=True), message, err=True)
    if hint:
        echo(f"       {hint}", err=True)


def show_usage_error(error: click.ClickException) -> None:
    """Print a mistake that click has found, in the form of all others."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        for line in error.format_message().split("\n"):
            echo(line, err=True)
        return
    message, hint = error.format_message().replace("\n\t", "\n  "), None
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "mmft COMMAND"
        hint = f"`{command} --help` explains its arguments and options."
        unknown = isinstance(error, click.NoSuchOption) and not error.possibilities
        if unknown and _takes_inputs(error):
            hint = f"Inputs that begin with '-' go after --: {command} ... -- INPUT"
    show_error(message if message[-1:] in ".?!)" else f"{message}.", hint)


def _takes_inputs(error: click.UsageError) -> bool:
    params = error.ctx.command.params if error.ctx else ()
    return any(isinstance(p, click.Argument) and p.nargs == -1 for p in params)


def show_traceback(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print a traceback; for `sys.excepthook`."""
    for line in "".join(traceback.format_exception(kind, error, trace)).splitlines():
        echo(line, err=True)


class _Lines:
    """A stream whose writes are lines, each of which is escaped."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        line = text.rstrip("\r\n")
        return self.stream.write(escape(line) + text[len(line) :])

    def flush(self) -> None:
        self.stream.flush()


def for_lines(stream: IO[str]) -> IO[str]:
    """The stream itself, or for a terminal one that escapes each line that is written to it.

    For data (CSV, captions), which programs and files get unchanged.
    """
    return cast(IO[str], _Lines(stream)) if _is_terminal(stream) else stream


def _is_terminal(stream: IO[str]) -> bool:
    return stream.isatty()
