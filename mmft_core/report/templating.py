"""Templates: of pages that hold all they need, and of other text."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mmft_core.report import wording


def render(template: str, **values: Any) -> str:
    """Fill in a template; `style` is the sheet of styles that all pages share."""
    return _environment().get_template(template).render(style=asset("report.css"), **values)


def asset(name: str) -> Markup:
    """A file that becomes part of a page as it is."""
    loader = _environment().loader
    assert loader is not None
    return Markup(loader.get_source(_environment(), name)[0])


def templates(package: str, **settings: Any) -> Environment:
    """The templates of a package, in which nothing may be left open.

    Args:
        settings: further ones of Jinja's.
    """
    return Environment(
        loader=PackageLoader(package),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **settings,
    )


@cache
def _environment() -> Environment:
    environment = templates("mmft_core.report", autoescape=True)
    environment.filters |= {"title": wording.title, "count": wording.count}
    return environment
