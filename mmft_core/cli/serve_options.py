"""The options of `mmft serve` that say what it allows, each a field of `ServeSettings`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from mmft_core.cli.finite import FiniteRange
from mmft_core.errors import ConfigError
from mmft_core.serve.settings import EXTENTS, ServeSettings

_Command = TypeVar("_Command", bound=Callable[..., Any])
_COUNT = click.IntRange(min=1)
_SECONDS = FiniteRange(min=0, min_open=True, max=86400)
_DELAY = FiniteRange(min=0, max=86400)

_OPTIONS: dict[str, tuple[click.ParamType[Any], str]] = {
    "max_batch": (_COUNT, "Most inputs that the model computes at once."),
    "queue": (
        _COUNT,
        "Most requests that are worked on or wait; further requests are answered with 429.",
    ),
    "timeout": (
        _SECONDS,
        "Seconds in which a request that has arrived must be answered; after that, it is answered "
        "with 504.",
    ),
    "header_timeout": (_SECONDS, "Seconds in which the headers of a request must arrive."),
    "body_timeout": (
        _SECONDS,
        "Seconds in which the body of a request must arrive, or keep up with --body-rate.",
    ),
    "body_rate": (
        _COUNT,
        "Bytes per second at which a body must arrive that takes longer than --body-timeout.",
    ),
    "send_timeout": (_SECONDS, "Seconds that a client may go without reading its answer."),
    "keep_alive": (
        _SECONDS,
        "Seconds that an idle connection stays open; a proxy in front should close its own sooner.",
    ),
    "max_connections": (
        _COUNT,
        "Most open connections. Default: what the limit of open files allows, up to 4096.",
    ),
    "max_bytes": (_COUNT, "Most bytes of a request's body; a larger one is answered with 413."),
    "max_buffered": (
        _COUNT,
        "Most bytes of all bodies in memory together; beyond that, the largest that is still "
        "arriving is answered with 503.",
    ),
    "max_json_depth": (click.IntRange(1, 500), "Most levels of a JSON request; else 422."),
    "max_json_items": (_COUNT, "Most values of a JSON request, over all levels; else 413."),
    "drain_delay": (
        _DELAY,
        "Seconds after SIGTERM in which /ready answers with 503 while requests are still taken.",
    ),
    "shutdown_timeout": (
        _SECONDS,
        "Seconds after the drain delay in which requests in progress may finish.",
    ),
    "top_k": (_COUNT, "Most classes, and neighbours, of an answer."),
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
        limits: as UNIT=MOST, for some units.

    Raises:
        ConfigError: some of them make no sense.
    """
    if api_key is not None and not api_key.strip():
        raise ConfigError("The API key is empty.", hint="Leave it out, or give one that is long.")
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
        ConfigError: one is not UNIT=MOST, or of no unit that there is.
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
                f"--limit '{limit}' is not UNIT=MOST, with a unit of {', '.join(EXTENTS)}.",
                hint="For example: --limit seconds=60",
            )
    return EXTENTS | given
