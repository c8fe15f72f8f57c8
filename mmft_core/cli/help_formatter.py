"""How help texts are wrapped."""

from __future__ import annotations

from collections.abc import Iterable

import click

_HYPHEN = "\ue000"
"""Replaces hyphens while lines are wrapped; a private-use character that no help text contains."""


class HelpFormatter(click.HelpFormatter):
    """click's, but without line breaks at hyphens: words and names of options stay whole."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        super().write_usage(prog, _kept(args), prefix)

    def write_text(self, text: str) -> None:
        super().write_text(_kept(text))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        super().write_dl([(name, _kept(text)) for name, text in rows], col_max, col_spacing)

    def write(self, string: str) -> None:
        super().write(string.replace(_HYPHEN, "-"))


def _kept(text: str) -> str:
    return text.replace("-", _HYPHEN)
