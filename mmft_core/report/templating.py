"""Templates of pages that hold all they need."""

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


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mmft_core.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"title": wording.title, "count": wording.count}
    return environment
