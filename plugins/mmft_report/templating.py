"""Templates: of pages that hold all they need, and of other text."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import BaseLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mmft_report import wording


def render(template: str, **values: Any) -> str:
    """Fill in a template; `style` is the sheet of styles that all pages share.

    Args:
        template: one of the report's, or of a package: "mmft_serve/serve.html.j2".
    """
    return _environment().get_template(template).render(style=asset("report.css"), **values)


def asset(name: str) -> Markup:
    """A file that becomes part of a page as it is. It is named as a template is."""
    loader = _environment().loader
    assert loader is not None
    return Markup(loader.get_source(_environment(), name)[0])


def templates(package: str, **settings: Any) -> Environment:
    """The templates of packages, in which no variable may be undefined.

    Args:
        package: whose templates are named without a package in front.
        settings: further ones of Jinja's.
    """
    return Environment(
        loader=_Packages(package),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **settings,
    )


class _Packages(BaseLoader):
    """Finds "package/name" among the templates of that package."""

    def __init__(self, default: str) -> None:
        self._default = default

    def get_source(self, environment: Environment, template: str) -> Any:
        package, _, name = template.rpartition("/")
        return PackageLoader(package or self._default).get_source(environment, name)


@cache
def _environment() -> Environment:
    environment = templates("mmft_report", autoescape=True)
    environment.filters |= {"title": wording.title, "count": wording.count}
    return environment
