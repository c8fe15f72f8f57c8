"""The options of `mmft serve` that say what it allows, each a field of `ServeSettings`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from mmft_core.cli import FiniteRange
from mmft_core.errors import ConfigError
from mmft_serve.settings import EXTENTS, ServeSettings

_Command = TypeVar("_Command", bound=Callable[..., Any])
_COUNT = click.IntRange(min=1)
_SECONDS = FiniteRange(min=0, min_open=True, max=86400)
_DELAY = FiniteRange(min=0, max=86400)

_OPTIONS: dict[str, tuple[click.ParamType[Any], str]] = {
    "max_batch": (_COUNT, "Largest batch."),
    "queue": (
        _COUNT,
        "Maximum number of requests in progress or waiting; further ones are answered with 429.",
    ),
    "timeout": (
        _SECONDS,
        "Time limit for answering a request once it has arrived, in seconds; then it is answered "
        "with 504.",
    ),
    "header_timeout": (_SECONDS, "Time limit for receiving the headers of a request, in seconds."),
    "body_timeout": (
        _SECONDS,
        "Time limit for receiving the body of a request, in seconds, unless it keeps up with "
        "--body-rate.",
    ),
    "body_rate": (
        _COUNT,
        "Minimum bytes per second of a body that takes longer than --body-timeout.",
    ),
    "send_timeout": (_SECONDS, "Time that a client may go without reading its answer, in seconds."),
    "keep_alive": (
        _SECONDS,
        "Time that an idle connection stays open, in seconds; a proxy in front should close its "
        "own sooner.",
    ),
    "max_connections": (
        _COUNT,
        "Maximum number of open connections.  [default: what the limit of open files allows, up "
        "to 4096]",
    ),
    "max_bytes": (
        _COUNT,
        "Largest body of a request, in bytes; a larger one is answered with 413.",
    ),
    "max_buffered": (
        _COUNT,
        "Maximum bytes of all bodies in memory; beyond that, the largest that is still arriving "
        "is answered with 503.",
    ),
    "max_json_depth": (
        click.IntRange(1, 500),
        "Deepest nesting of a JSON request; a deeper one is answered with 422.",
    ),
    "max_json_items": (
        _COUNT,
        "Maximum values of a JSON request, over all levels; more are answered with 413.",
    ),
    "drain_delay": (
        _DELAY,
        "Time after SIGTERM during which /ready answers with 503 but requests are still accepted, "
        "in seconds.",
    ),
    "shutdown_timeout": (
        _SECONDS,
        "Time after the drain delay for requests in progress to finish, in seconds.",
    ),
    "top_k": (_COUNT, "Maximum number of predictions, such as classes or neighbours, per input."),
}


def limit_options(command: _Command) -> _Command:
    """Add the options to a command, which takes their values as keyword arguments."""
    defaults = ServeSettings()
    for name, (kind, text) in reversed(_OPTIONS.items()):
        default = getattr(defaults, name)
        option = click.option(
            f"--{name.replace('_', '-')}",
            type=kind,
            default=default,
            show_default=default is not None,
            help=text,
        )
        command = option(command)
    return command


def read_settings(limits: Sequence[str], api_key: str | None, **given: Any) -> ServeSettings:
    """The settings of the values that were given.

    Args:
        limits: as UNIT=MAX, for some units.

    Raises:
        ConfigError: some of them make no sense.
    """
    if api_key is not None and not api_key.strip():
        raise ConfigError("The API key is empty.", hint="Leave it out, or give a long one.")
    settings = ServeSettings(extents=_extents(limits), api_key=api_key, **given)
    if settings.max_buffered < settings.max_bytes:
        raise ConfigError(
            f"--max-buffered {settings.max_buffered:,} is less than one request may have "
            f"(--max-bytes {settings.max_bytes:,}).",
            hint="Give a larger --max-buffered, or a smaller --max-bytes.",
        )
    return settings


def _extents(limits: Sequence[str]) -> dict[str, float]:
    """The limits by unit, those that are given in place of the defaults.

    Raises:
        ConfigError: one is not UNIT=MAX, or has an unknown unit.
    """
    given: dict[str, float] = {}
    for limit in limits:
        unit, _, amount = limit.partition("=")
        try:
            given[unit] = float(amount)
        except ValueError:
            given[unit] = -1.0
        if unit not in EXTENTS or not given[unit] > 0:
            raise ConfigError(
                f"--limit '{limit}' is not UNIT=MAX, where UNIT is one of {', '.join(EXTENTS)}.",
                hint="For example: --limit seconds=60",
            )
    return EXTENTS | given
