"""The options for downloading inputs."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mmft_core.cli.finite import FiniteRange

_positive = FiniteRange(min=0, min_open=True)

_OPTIONS = (
    click.option(
        "--max-download",
        type=_positive,
        default=100.0,
        show_default=True,
        help="Largest http(s):// input to download, in MB.",
    ),
    click.option(
        "--download-timeout",
        type=_positive,
        default=30.0,
        show_default=True,
        help="Time limit for downloading an http(s):// input, in seconds.",
    ),
    click.option(
        "--allow-private-hosts",
        is_flag=True,
        help="Also fetch http(s):// inputs from this machine and from private networks.",
    ),
)


def fetching_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options to a command, which gets them as `limits`; their folder ends with it."""

    @functools.wraps(command)
    def wrapped(
        *, max_download: float, download_timeout: float, allow_private_hosts: bool, **given: Any
    ) -> None:
        from mmft_core.inference.downloads import Limits

        folder = tempfile.TemporaryDirectory(prefix="mmft-")
        path = Path(click.get_current_context().with_resource(folder))
        limits = Limits(path, max_download, download_timeout, allow_private_hosts)
        command(limits=limits, **given)

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped
