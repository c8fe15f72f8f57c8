"""Finds out whose code an exception comes from: mmft's or a plugin's."""

from __future__ import annotations

import importlib.metadata
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from mmft_core.errors import ConfigError, PluginError, first_line

FAULT = "This is a fault of the plugin; its tests with mmft_testing may say more."
"""The hint of an error that a plugin's author has to correct."""


def describe_error(error: BaseException, package: str) -> str:
    """What happened, and where in a package: "KeyError: 'x' (flowers.net, line 7)"."""
    kind, text = type(error).__name__, first_line(error)
    what = kind if text == kind else f"{kind}: {text}"
    own = [f"{name}, line {line}" for name, line in _frames(error) if _top(name) == package]
    return f"{what} ({own[-1]})" if own else what


def with_article(noun: str) -> str:
    """A noun as part of a sentence: "an Options"."""
    return f"{'an' if noun[0] in 'aeiouAEIOU' else 'a'} {noun}"


def kind_of(thing: Any) -> str:
    """What a thing is, as part of a sentence: "an int"; "nothing" for None."""
    return "nothing" if thing is None else with_article(type(thing).__name__)


@contextmanager
def recommended_by(called: str) -> Iterator[None]:
    """Have errors about wrong settings say which component recommends them."""
    try:
        yield
    except (ConfigError, PluginError) as error:
        text = f"{error.message} It is recommended by the {called}."
        raise type(error)(text, hint=error.hint or FAULT) from None


def note_plugin(error: BaseException, points: Iterable[importlib.metadata.EntryPoint]) -> None:
    """End a traceback with the plugin whose code was running, if it is one of these."""
    by_package = {_top(point.module): point for point in points}
    for name, line in reversed(_frames(error)):
        point = by_package.get(_top(name))
        if point is not None:
            by = f" ({point.dist.name} {point.dist.version})" if point.dist else ""
            error.add_note(
                f"This is a fault of the plugin '{point.name}'{by}, at {name}, line {line}; its "
                "tests with mmft_testing may say more."
            )
            return


def _frames(error: BaseException) -> list[tuple[str, int]]:
    """The modules and lines that an error came through, the innermost last."""
    frames = traceback.walk_tb(error.__traceback__)
    return [(str(frame.f_globals.get("__name__", "")), line) for frame, line in frames]


def _top(module: str) -> str:
    return module.partition(".")[0]
